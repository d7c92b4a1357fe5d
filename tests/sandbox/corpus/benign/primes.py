# ok
def answer(image):
    sieve = [True] * 1000
    for i in range(2, 32):
        if sieve[i]:
            for j in range(i * i, 1000, i):
                sieve[j] = False
    return sum(1 for i in range(2, 1000) if sieve[i])
