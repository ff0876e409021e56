"""Bounds and controls: what a method that learns to adapt is compared with."""
