"""Evidence as HTML and images, drawn from JSON forms alone: whatever shows itself in a notebook is made of this."""
