"""The systems, one readable file each."""
