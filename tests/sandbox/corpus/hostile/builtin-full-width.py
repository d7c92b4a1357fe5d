# rejected forbidden-name
result = ｅｘｅｃ("1")
