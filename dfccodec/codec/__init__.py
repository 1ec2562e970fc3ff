"""Clips, tiles, quantizer, budgets, fill policies; the streaming encoder and decoder. Import the module you need."""
