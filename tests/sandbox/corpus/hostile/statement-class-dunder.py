# rejected forbidden-statement
class A:
    def __eq__(self, other):
        return True
result = A() == 1
