"""Images: the one decoder, its limits, and batches of what it decodes."""
