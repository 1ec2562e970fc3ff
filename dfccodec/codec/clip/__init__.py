"""One clip: analysis, quantization, latent refinement, reconstruction."""
