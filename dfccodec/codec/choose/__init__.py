"""Which frames are kept: budgets, frame selection, rate and quality targets."""
