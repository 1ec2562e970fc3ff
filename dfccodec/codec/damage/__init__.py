"""Decoding of damaged files: partial decoding, concealment, lost tracks."""
