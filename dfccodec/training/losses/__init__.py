"""Losses, masks and differentiable models of quantization and rate."""
