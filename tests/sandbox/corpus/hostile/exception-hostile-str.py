# error TypeError
raise ValueError(*range(10)) from 5
result = 1
