# rejected undefined-name
result = еval("1")
