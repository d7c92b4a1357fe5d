# ok
out = []
for f in (lambda: int("x"), lambda: 1 / 0):
    try:
        f()
    except (OSError, TimeoutError, FloatingPointError):
        out.append("os")
    except (ValueError, ArithmeticError) as e:
        out.append(str(e))
result = out
