"""Image processing that several tools share."""
