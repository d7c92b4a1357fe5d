# ok
def compose(*fs):
    def run(x):
        for f in fs:
            x = f(x)
        return x
    return run
result = compose(lambda x: x + 1, str, len)(99), list(map(str, [1, 2])), list(map(int, "123")), sorted([-3, 2], key=abs), list(map(str.upper, ["a"])), sorted(["b", "A"], key=str.lower), max("abc", key=ord)
