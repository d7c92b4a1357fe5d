# ok
result = ["{} {}".format(1, "a"), "{1} {0}".format(1, 2), "{x:.1f}".format(x=2.345), "{:>8}|".format("ab"), "{!r}".format("z"), "{:,}".format(10 ** 6), "{0:{1}d}".format(7, 4), "{{}}".format(), "{a}{b}".format(**{"a": 1, "b": 2}), "{:d}/{:d}".format(*[1, 2])]
