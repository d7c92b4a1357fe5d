# killed result
result = "{0:9999}" * 40
result = result.format(1)
