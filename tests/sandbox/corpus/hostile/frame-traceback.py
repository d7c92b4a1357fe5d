# rejected forbidden-attribute
try:
    1 / 0
except ZeroDivisionError as e:
    result = e.__traceback__.tb_frame.f_back
