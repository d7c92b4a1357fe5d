# error UnboundLocalError
del print
result = print
