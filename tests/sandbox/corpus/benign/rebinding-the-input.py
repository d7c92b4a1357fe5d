# ok
image = image.root
result = image.width
