# ok
if image.width > 10:
    result = "wide"
else:
    result = "narrow"
