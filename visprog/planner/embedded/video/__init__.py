"""Questions about videos, read without a model: words, forms of sentences, and the programs that answer them."""

from .reading import video_program as video_program
