# rejected forbidden-attribute
result = [1 for image.width in [1]]
