"""One image tower and one text tower that serve every checkpoint family."""
