# rejected
result = await image
