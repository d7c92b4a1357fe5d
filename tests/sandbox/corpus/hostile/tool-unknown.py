# rejected undefined-name
result = detcet(image, "cat")
