# rejected forbidden-attribute
def outer():
    x = 1
    def inner():
        return x
    return inner
result = outer().__closure__[0].cell_contents
