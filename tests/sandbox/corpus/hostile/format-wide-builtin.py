# killed sequence
result = format(1, "0999999999d")
