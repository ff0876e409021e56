"""Bounds and controls, for comparison with the methods that learn to adapt."""
