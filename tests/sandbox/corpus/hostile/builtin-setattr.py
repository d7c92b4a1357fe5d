# rejected forbidden-name
setattr(image, "width", 1)
result = 1
