"""The vision tools, one file a family."""
