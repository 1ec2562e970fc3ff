"""Context mixing of the integers of coding 3 (SPEC.md 7.11)."""
