# rejected forbidden-name
raise GeneratorExit
result = 1
