# ok
from collections.abc import Callable, Iterable
def f(g: Callable[[int], int], xs: Iterable[int]) -> list[int]:
    return [g(x) for x in xs]
result = f(lambda x: x + 1, [1, 2])
