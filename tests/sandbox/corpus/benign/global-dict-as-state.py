# ok
STATE = {"n": 0}
def bump():
    STATE["n"] += 1
    STATE.update(last=STATE["n"])
for _ in range(3):
    bump()
result = STATE
