# ok
x = 40
if x == 0:
    result = 0
elif x == 1:
    result = 1
elif x == 2:
    result = 2
elif x == 3:
    result = 3
elif x == 4:
    result = 4
elif x == 5:
    result = 5
elif x == 6:
    result = 6
elif x == 7:
    result = 7
elif x == 8:
    result = 8
elif x == 9:
    result = 9
elif x == 10:
    result = 10
elif x == 11:
    result = 11
elif x == 12:
    result = 12
elif x == 13:
    result = 13
elif x == 14:
    result = 14
elif x == 15:
    result = 15
elif x == 16:
    result = 16
elif x == 17:
    result = 17
elif x == 18:
    result = 18
elif x == 19:
    result = 19
elif x == 20:
    result = 20
elif x == 21:
    result = 21
elif x == 22:
    result = 22
elif x == 23:
    result = 23
elif x == 24:
    result = 24
elif x == 25:
    result = 25
elif x == 26:
    result = 26
elif x == 27:
    result = 27
elif x == 28:
    result = 28
elif x == 29:
    result = 29
elif x == 30:
    result = 30
elif x == 31:
    result = 31
elif x == 32:
    result = 32
elif x == 33:
    result = 33
elif x == 34:
    result = 34
elif x == 35:
    result = 35
elif x == 36:
    result = 36
elif x == 37:
    result = 37
elif x == 38:
    result = 38
elif x == 39:
    result = 39
elif x == 40:
    result = 40
elif x == 41:
    result = 41
elif x == 42:
    result = 42
elif x == 43:
    result = 43
elif x == 44:
    result = 44
