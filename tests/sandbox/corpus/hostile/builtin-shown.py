# ok
# what Python says of builtins names nothing of ours; no address of an object is asserted
shown = [str(f) for f in (print, getattr, round, math.factorial, "a".join, str.format, Image, ToolError, list)]
result = [text.split(" at ")[0] for text in shown]
