# ok
text = "3 cats, 12 dogs"
nums = [int(t) for t in text.replace(",", " ").split() if t.isdigit()]
digits = "".join(ch for ch in text if ch.isdigit())
result = nums, digits
