"""What can be trained: for each system its model, its losses, its data and its scores."""
