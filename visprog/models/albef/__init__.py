"""ALBEF: the model, its momentum distillation, and the layout of its authors' checkpoints."""
