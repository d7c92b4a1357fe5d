# killed message
try:
    echo("x" * 300000)
except:
    pass
finally:
    result = "alive"
