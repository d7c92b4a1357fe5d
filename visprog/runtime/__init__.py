"""What happens while a program runs: the host of the tools, batches, the cache, recordings."""
