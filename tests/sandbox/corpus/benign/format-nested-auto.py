# ok
result = "{:>{}}".format("a", 5), "{:{w}.{p}f}".format(3.14159, w=8, p=2), "{0:>{1}}|{0}".format("x", 3), "{!r:^7}".format("a"), "{:%}".format(0.5), "{:+}".format(3)
