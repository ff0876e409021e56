"""Training: the loop, the calls that begin and resume a run, what it would cost, and its previews."""
