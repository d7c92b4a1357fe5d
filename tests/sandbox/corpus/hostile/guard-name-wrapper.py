# rejected forbidden-name
def _program_():
    return None
result = 1
