# rejected forbidden-attribute
try:
    raise OSError(2, "no", "/etc/passwd")
except OSError as e:
    result = e.filename
