# error AttributeError
try:
    fail("x")
except ToolError as e:
    result = getattr(e, "call")
