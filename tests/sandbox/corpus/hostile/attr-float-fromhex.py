# error AttributeError
result = getattr(float, "fromhex")("0x1")
