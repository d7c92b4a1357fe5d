# rejected forbidden-name
result = super()
