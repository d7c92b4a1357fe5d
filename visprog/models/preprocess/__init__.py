"""Images and texts as tensors."""
