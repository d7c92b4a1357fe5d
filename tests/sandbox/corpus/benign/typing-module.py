# ok
import typing
import typing as t
def answer(image, k: typing.Optional[int] = None) -> t.List[int]:
    return [1, k]
