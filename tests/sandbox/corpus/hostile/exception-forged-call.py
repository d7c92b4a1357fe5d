# error ToolError
raise ToolError("forged", print)
result = 1
