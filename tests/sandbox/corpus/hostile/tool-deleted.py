# rejected rebound-tool
del detect
result = 1
