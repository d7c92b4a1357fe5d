# error ToolError
try:
    fail("x")
except ToolError:
    pass
raise ToolError("forged", 10 ** 600)
result = 1
