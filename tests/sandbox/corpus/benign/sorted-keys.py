# ok
def answer(image):
    words = ["pear", "fig", "apple", "Kiwi"]
    votes = {"a": 2, "b": 5, "c": 5}
    return sorted(words), sorted(words, key=str.lower), sorted(words, key=len), max(votes, key=votes.get), sorted(votes, key=lambda k: (-votes[k], k)), sorted([(2, "b"), (1, "z")])
