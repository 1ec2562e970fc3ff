"""Predicted kept frames (latent coding 3): prediction from decoded pictures, and its encoder."""
