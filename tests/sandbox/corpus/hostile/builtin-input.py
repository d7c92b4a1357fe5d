# rejected forbidden-name
result = input()
