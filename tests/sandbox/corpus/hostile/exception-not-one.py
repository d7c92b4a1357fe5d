# error TypeError
raise "text"
result = 1
