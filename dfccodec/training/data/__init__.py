"""Training data: videos as arrays, coded clips, and transfer to other machines."""
