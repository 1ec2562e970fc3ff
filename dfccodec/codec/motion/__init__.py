"""Fill policy `motion` (SPEC.md 6.7): motion estimation, mode decision, syntax and compensation. Imports no torch."""
