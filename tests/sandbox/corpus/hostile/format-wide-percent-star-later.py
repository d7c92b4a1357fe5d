# killed sequence
result = "%s %d%% %-*d|" % ("a", 5, 10 ** 9, 1)
