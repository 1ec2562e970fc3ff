"""Reading video: containers, image sequences, tracks, timestamps."""
