# rejected forbidden-attribute
result = (lambda: 1).__code__.co_consts
