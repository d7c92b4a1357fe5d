# ok
def answer(image):
    try:
        {}["x"]
    except:
        return "caught"
