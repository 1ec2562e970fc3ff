"""Training tasks: one file per network, with its loss, batches and evaluation."""
