# ok
log = []
def f():
    for i in range(3):
        try:
            if i == 1:
                continue
            if i == 2:
                break
            log.append(i)
        finally:
            log.append("f")
    return log
result = f()
