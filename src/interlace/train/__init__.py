"""Training: one trainer fits every method."""
