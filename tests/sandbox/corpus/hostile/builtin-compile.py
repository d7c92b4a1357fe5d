# rejected forbidden-name
result = compile("1", "", "eval")
