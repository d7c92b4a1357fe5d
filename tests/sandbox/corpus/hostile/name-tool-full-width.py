# rejected rebound-tool
ｄetect = 1
result = 1
