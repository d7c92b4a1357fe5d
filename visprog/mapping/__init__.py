"""One question about many images: run, resumed, and written to a file of results."""
