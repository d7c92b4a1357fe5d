# rejected
try:
    result = 1
except* ValueError:
    result = 2
