# rejected forbidden-attribute
result = detect.__wrapped__
