# rejected forbidden-attribute
try:
    fail("x")
except ToolError as e:
    result = e.cause
