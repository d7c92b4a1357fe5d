# killed recursion
raise RecursionError("mine")
result = 1
