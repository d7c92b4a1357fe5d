# ok
def answer(image):
	if image:
		return "tabbed"
	return "none"
