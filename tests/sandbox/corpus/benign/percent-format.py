# ok
def answer(image):
    return "%s has %d %5.2f%% %-5s| %05d %x %r" % ("a", 3, 99.5, "b", 42, 255, "q"), "%(k)s" % {"k": 1}, "100%" , 17 % 5, -7 % 3
