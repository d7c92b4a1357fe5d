# rejected forbidden-attribute
result = detect.__globals__["os"]
