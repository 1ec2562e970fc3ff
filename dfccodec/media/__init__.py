"""Frames, sound and timestamps in and out. The only room that imports PyAV."""
