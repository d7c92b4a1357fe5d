"""SAM: the model, its predictor, masks of everything, and its training."""
