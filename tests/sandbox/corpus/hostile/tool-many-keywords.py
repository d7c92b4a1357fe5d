# error TypeError
result = echo(**{f"k{i}": i for i in range(40)})
