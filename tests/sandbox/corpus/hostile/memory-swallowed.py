# killed memory
x = []
while True:
    try:
        x.append("a" * 1000000)
    except:
        pass
result = 1
