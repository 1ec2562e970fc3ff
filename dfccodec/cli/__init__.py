"""The command line: one file per verb, thin over the library, no torch at import."""
