# ok
if (result := 3) > 2:
    pass
