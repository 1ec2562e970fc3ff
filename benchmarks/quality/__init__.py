"""Quality and rate: how good, for how many bits."""
