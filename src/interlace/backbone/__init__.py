"""The frozen dual encoder: towers, edits, prompts, checkpoints."""
