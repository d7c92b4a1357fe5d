# ok
result = {frozenset({frozenset({1})}): (1, (2, frozenset()))}
