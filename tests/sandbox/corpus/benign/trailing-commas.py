# ok
result = (1,), [1,], {"a": 1,}, max(1, 2,), (lambda x,: x)(3)
