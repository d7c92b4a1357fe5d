# ok
try:
    x = int("abc")
    return x
except ValueError as error:
    return f"bad: {error}"
finally:
    print("end")
