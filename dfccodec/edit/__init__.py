"""Files without a model: trim, verify, recover, random access. Never imports torch."""
