"""Training: data, losses, tasks, the trainer and its recipes."""
