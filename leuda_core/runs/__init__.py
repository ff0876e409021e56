"""Runs: the folder of a training, its lock, event stream and state, and control from other processes."""
