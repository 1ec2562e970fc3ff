"""Fill policy `motion` (SPEC.md 7.8): motion estimation, mode decision, syntax and compensation. Imports no torch."""
