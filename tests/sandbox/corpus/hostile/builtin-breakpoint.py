# rejected forbidden-name
breakpoint()
result = 1
