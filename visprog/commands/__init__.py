"""The commands of the command line: one file per command, or per few commands that belong together."""
