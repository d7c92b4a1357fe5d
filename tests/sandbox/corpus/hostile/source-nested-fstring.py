# rejected
result = f'{f'{1}'}'
