# ok
d = {"b": 2, "a": 3, "c": 1, "d": 3}
result = [sorted(d.items(), key=lambda kv: -kv[1]), sorted(d, key=d.get), sorted(d.items(), key=lambda kv: (-kv[1], kv[0])),
          sorted("banana", reverse=True), min(d, key=lambda k: d[k]), max(d.values()), max([], default=0), min(3, 1, 2)]
