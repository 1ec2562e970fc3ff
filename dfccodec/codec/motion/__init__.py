"""Fill policy `motion` (SPEC.md 6.7): dropped frames from blocks of their kept neighbours. Imports no torch."""
