# rejected
with image as image.width:
    pass
result = 1
