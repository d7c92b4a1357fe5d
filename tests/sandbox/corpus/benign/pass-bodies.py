# ok
def noop(): pass
for _ in []: pass
if False: pass
while False: pass
try: pass
except ValueError: pass
finally: pass
result = noop()
