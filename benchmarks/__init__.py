"""Benchmarks: every published figure comes from a script in here."""
