# rejected forbidden-name
raise SystemExit(0)
result = 1
