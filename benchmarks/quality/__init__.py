"""Benchmarks of quality and rate."""
