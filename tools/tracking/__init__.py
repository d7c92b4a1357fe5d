"""Objects followed from frame to frame: association, motion against a still background, appearance at a place."""
