# rejected forbidden-import
def answer(image):
    import os
    return os.environ
