"""Training: the loop, starting and resuming runs, cost estimates, and previews."""
