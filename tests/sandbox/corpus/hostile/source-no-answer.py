# rejected no-answer
x = 1
