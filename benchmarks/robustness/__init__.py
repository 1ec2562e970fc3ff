"""Benchmarks of behaviour under interruption and damage."""
