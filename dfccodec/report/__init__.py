"""Comparison of videos as figures and pictures."""
