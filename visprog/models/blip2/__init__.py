"""BLIP-2: the Q-Former, its two stages of training, and the layout of public checkpoints."""
