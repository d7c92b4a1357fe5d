"""Retrieval of images by their features: an index of a folder on disk, and the search in it."""
