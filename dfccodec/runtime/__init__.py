"""Threads, prefetch, devices, signals and atomic output."""
