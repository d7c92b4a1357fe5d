# rejected syntax-error
if 1:
	x = 1
        y = 2
result = 1
