# rejected
class A:
    return 1
