# rejected bad-character
result = "a‮b"
