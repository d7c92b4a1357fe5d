"""Files and text: read within limits, written whole, never mixed up with inputs."""
