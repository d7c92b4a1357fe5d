# ok
def answer(image):
    def adder(n):
        return lambda x: x + n
    fs = [adder(i) for i in range(4)]
    gs = [lambda x, i=i: x * i for i in range(4)]
    return [f(10) for f in fs], [g(10) for g in gs]
