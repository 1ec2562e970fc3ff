"""What kept frames look like from the one before, moved block by block: SPEC.md 7.7."""
