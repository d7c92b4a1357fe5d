# ok
try:
    fail("secret")
except ToolError as e:
    result = str(e)
