# killed sequence
try:
    t = "%888888888d" % 1
except:
    pass
result = "alive"
