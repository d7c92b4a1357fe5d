# rejected forbidden-name
result = memoryview("")
