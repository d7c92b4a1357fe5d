# ok
def answer(image: np.ndarray, n: Annotated[int, "x"] = 3) -> Union[Foo, None]:
    return n
