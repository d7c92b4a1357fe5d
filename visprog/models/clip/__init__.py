"""CLIP: the model, and how checkpoints of the hub are named."""
