# rejected
yield 1
