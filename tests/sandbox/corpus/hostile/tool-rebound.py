# rejected rebound-tool
detect = lambda *a: []
result = detect(image, "x")
