# ok
def answer(image):
    größe = "naïve café ☕"
    return größe.upper(), len("日本語"), "é" == "\u00e9", sorted("öäü"), "😀"[0], "\N{SNOWMAN}"
