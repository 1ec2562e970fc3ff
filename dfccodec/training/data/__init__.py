"""Training data: clips, shards, clips coded beforehand."""
