"""Backends on pretrained models, through `transformers` and from local folders. Nothing is loaded at import."""
