# ok
out = []
for f in [lambda: "{}".format(), lambda: "{a}".format(), lambda: "{0} {}".format(1, 2), lambda: "{".format(), lambda: "}".format(), lambda: "{:d}".format("x"), lambda: "{!z}".format(1), lambda: f"{'a':d}", lambda: "%d" % "x", lambda: "%d %d" % (1,), lambda: "%s" % (1, 2), lambda: "%(k)s" % {}, lambda: "%q" % 1]:
    try:
        f()
    except Exception as e:
        out.append((str(e), isinstance(e, ValueError), isinstance(e, KeyError), isinstance(e, TypeError), isinstance(e, IndexError)))
result = out
