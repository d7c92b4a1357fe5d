# rejected forbidden-statement
class A:
    pass
result = A()
