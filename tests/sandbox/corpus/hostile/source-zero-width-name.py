# rejected syntax-error
x​ = 1
result = 1
