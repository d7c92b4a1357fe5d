"""English captions as words and their parts of speech."""
