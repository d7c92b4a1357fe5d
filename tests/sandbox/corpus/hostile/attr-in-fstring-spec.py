# rejected forbidden-attribute
result = f"{1:{''.__class__}}"
