# rejected forbidden-name
result = object()
