"""`.dfc` bytes <-> typed records (SPEC.md). Standard library, numpy and zstandard; never torch, never av."""
