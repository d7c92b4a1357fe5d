"""Training of the bundled weights."""
