# rejected forbidden-name
def _caught_():
    return None
result = 1
