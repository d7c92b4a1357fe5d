"""Endings of the files that are taken for images, wherever files are looked for by their names."""

IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff",
    ".pnm", ".ppm", ".pgm", ".pbm",
)  # fmt: skip
"""In lower case."""

VIDEO_ENDINGS = (
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".mpg",
    ".mpeg",
    ".ts",
    ".flv",
    ".ogv",
    ".wmv",
    ".3gp",
)
"""Of files that are taken for videos, in lower case; animated GIFs are told by their content."""
