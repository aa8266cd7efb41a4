"""Methods written out a second time, from their method cards, to compare the package with.

Nothing of the package's own computation is used: no tower, no edit, no shortcut, only the raw
weights of a small CLIP. Images and texts go through one at a time, and attention head by head.
"""
