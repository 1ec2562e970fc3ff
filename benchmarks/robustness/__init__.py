"""Behaviour under interruption and damage."""
