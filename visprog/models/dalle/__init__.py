"""DALL-E: a discrete autoencoder of images, and a transformer over the tokens of a text and of an image."""
