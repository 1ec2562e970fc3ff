"""Fill policy `motion` (SPEC.md 7.8): dropped frames from blocks of their kept neighbours. Imports no torch."""
