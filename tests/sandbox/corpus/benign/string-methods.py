# ok
def answer(image):
    s = "  Hello, World  "
    t = s.strip()
    return [t.lower(), t.upper(), t.title(), t.replace("l", "L", 1), t.replace("o", ""), t.split(", "), t.find("W"), t.count("l"), t.startswith(("He", "x")), t.endswith("d"), t.partition(","), "-".join(["a", "b"]), "abc".zfill(5), "a".center(5, "*"), "a\tb".expandtabs(4), "x".ljust(3) + "|", t.swapcase(), "ß".casefold(), "a,b,,c".rsplit(",", 1), "line\nline".splitlines(), "12".isdigit(), "".join(c for c in t if c.isalpha()), "abc".translate(str.maketrans("ab", "xy")), "prefix-x".removeprefix("prefix-"), t.index("o"), "aXbX".replace("X", "--", -1)]
