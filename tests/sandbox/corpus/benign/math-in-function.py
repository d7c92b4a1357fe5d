# ok
def answer(image):
    import math
    from math import ceil
    return ceil(math.log2(10))
