"""Checks whether the elements of a container follow one another without a break, one module per container."""
