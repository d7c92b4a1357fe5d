# ok
def area(i):
    return i.width * i.height
result = area(image)
