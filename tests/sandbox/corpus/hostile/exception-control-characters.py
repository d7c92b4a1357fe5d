# error ValueError
raise ValueError("\x1b[2J\u202e")
result = 1
