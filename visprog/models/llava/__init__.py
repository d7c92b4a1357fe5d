"""LLaVA: the model, and conversations as text."""
