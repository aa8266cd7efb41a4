"""Ways out of a fit: bundles of trained tensors."""
