# ok
"""A module docstring."""
def answer(image):
    """What it does."""
    # a comment
    return "done"
