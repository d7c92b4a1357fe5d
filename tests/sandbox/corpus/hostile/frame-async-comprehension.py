# rejected
async def f():
    return [x async for x in g()]
result = 1
