"""Backends on the bundled models: small, trained by the recipes of this repository, no network needed."""
