# error AttributeError
try:
    1 / 0
except Exception as e:
    result = getattr(e, "add_note")("x")
