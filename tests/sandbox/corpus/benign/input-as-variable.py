# ok
result = image.width + 1
