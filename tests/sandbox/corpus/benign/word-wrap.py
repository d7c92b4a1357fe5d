# ok
text = "the quick brown fox jumps over the lazy dog"
lines, cur = [], ""
for word in text.split():
    if len(cur) + len(word) + 1 > 15:
        lines.append(cur)
        cur = word
    else:
        cur = f"{cur} {word}".strip()
lines.append(cur)
result = lines
