# rejected forbidden-name
if __name__ == "__main__":
    result = 1
