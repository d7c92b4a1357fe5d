# error ToolError
e = ToolError("x")
raise e from e
result = 1
