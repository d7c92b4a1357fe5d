"""visprog within other frameworks."""
