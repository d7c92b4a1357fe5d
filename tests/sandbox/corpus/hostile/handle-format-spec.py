# error TypeError
result = f"{image:>10}"
