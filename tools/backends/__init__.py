"""What serves the tools, by architecture. Each module is imported when its backend is first used."""
