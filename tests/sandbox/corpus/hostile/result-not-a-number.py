# ok
result = [float("nan"), float("inf"), -float("inf")]
