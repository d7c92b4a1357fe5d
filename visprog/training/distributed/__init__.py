"""Several processes: how they start, what they exchange, how they end."""
