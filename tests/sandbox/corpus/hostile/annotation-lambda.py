# rejected forbidden-expression
def answer(image: (lambda: open("/etc/passwd"))()):
    return 1
