# rejected forbidden-statement
async def f():
    return 1
result = f().cr_frame
