# killed calls
while True:
    echo(1)
