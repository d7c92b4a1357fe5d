# killed memory
x = []
while True:
    try:
        x.append("a" * 4000000)
    finally:
        continue
result = 1
