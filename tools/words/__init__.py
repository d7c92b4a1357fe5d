"""Words of questions matched with what a backend knows: phrases, class labels, nearest meanings."""
