# rejected forbidden-statement
class A(metaclass=lambda *a: 1):
    pass
result = 1
