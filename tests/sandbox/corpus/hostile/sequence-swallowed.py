# killed sequence
while True:
    try:
        x = "a" * 10 ** 9
    except:
        continue
    finally:
        continue
result = 1
