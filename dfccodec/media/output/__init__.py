"""Writing video: containers, image sequences, tracks, constant frame rate."""
