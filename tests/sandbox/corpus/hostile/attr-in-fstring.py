# rejected forbidden-attribute
result = f"{''.__class__}"
