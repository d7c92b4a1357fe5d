# rejected forbidden-name
result = open("/etc/passwd").read()
