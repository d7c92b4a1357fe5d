# rejected forbidden-name
result = (lambda _getattr_: "".upper())(1)
