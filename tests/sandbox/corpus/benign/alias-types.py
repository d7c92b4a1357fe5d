# ok
Box = tuple[int, int]
Boxes = list[Box]
Names = dict[str, int]
x: Boxes = [(1, 2)]
result = x
