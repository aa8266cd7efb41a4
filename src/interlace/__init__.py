"""Interlace adapts CLIP-like models from a few labelled images."""
