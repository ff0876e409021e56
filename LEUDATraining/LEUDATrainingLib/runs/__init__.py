"""Training runs: starting, observing, showing, stopping and resuming them."""

__all__ = ["model_transfer", "run_facts", "run_list", "run_records", "run_view", "training_job"]
