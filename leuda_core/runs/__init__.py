"""Runs: the folder of one training and its lock, its event stream, its state, and how others start and stop it."""
