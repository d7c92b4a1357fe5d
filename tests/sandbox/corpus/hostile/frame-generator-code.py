# rejected forbidden-attribute
result = (i for i in []).gi_code
