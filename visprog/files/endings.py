"""Endings of the files that are taken for images, wherever files are looked for by their names."""

IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff",
    ".pnm", ".ppm", ".pgm", ".pbm",
)  # fmt: skip
"""In lower case."""
