# rejected forbidden-expression
def answer(image: "".__class__ = None) -> ().__class__.__bases__:
    return 1
