"""Training runs: started, followed, shown, stopped and resumed."""

__all__ = ["model_transfer", "run_list", "run_view", "training_job"]
