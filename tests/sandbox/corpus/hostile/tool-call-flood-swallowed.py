# killed calls
i = 0
while True:
    try:
        echo(i)
    except:
        pass
    finally:
        i += 1
        continue
result = 1
