"""The commands of the command line, one file each or for a few that belong together."""
