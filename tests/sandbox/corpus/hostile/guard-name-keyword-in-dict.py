# rejected forbidden-name
result = dict(_getattr_=1)
