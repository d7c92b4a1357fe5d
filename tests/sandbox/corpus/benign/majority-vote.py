# ok
def answer(image):
    votes = {}
    for word in ["red", "blue", "red"]:
        votes[word] = votes.get(word, 0) + 1
    best = max(votes, key=votes.get)
    return best if votes[best] > 1 else "unsure"
