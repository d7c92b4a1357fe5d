# rejected forbidden-attribute
result = detect(image, "cat")[0].box.secret()
