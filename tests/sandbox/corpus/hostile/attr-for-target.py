# rejected forbidden-attribute
for image.width in [1, 2]:
    pass
result = 1
