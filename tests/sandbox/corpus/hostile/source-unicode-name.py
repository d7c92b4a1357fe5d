# rejected forbidden-name
result = ｅｖａｌ("1")
