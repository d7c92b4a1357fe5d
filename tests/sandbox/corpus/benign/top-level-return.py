# ok
if image.width > 10:
    return "wide"
return "narrow"
