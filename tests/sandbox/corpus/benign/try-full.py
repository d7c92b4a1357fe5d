# ok
log = []
def f(x):
    try:
        log.append("try")
        v = 10 / x
    except ZeroDivisionError as e:
        log.append(str(e))
        return "zero"
    except (TypeError, ValueError) as e:
        log.append(str(e))
        return "type"
    else:
        log.append("else")
        return v
    finally:
        log.append("finally")
result = [f(2), f(0), f("a"), log]
