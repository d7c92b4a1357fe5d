# ok
result = {chr(0xDC00): chr(0xD800)}
