# rejected rebound-tool
for detect in [1]:
    pass
result = 1
