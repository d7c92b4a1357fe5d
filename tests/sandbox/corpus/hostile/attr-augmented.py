# rejected forbidden-attribute
image.width += 1
result = image
