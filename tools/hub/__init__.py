"""Backends on pretrained models, from the hub or local folders. Nothing is loaded at import."""
