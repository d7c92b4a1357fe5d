"""Diffusion: noise schedules and samplers, the DiT that predicts the noise, and text to image with both."""
