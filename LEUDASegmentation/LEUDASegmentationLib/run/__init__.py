"""One segmentation, from the volume node to its results in the scene."""

__all__ = ["history", "job", "job_queue", "order", "progress", "results", "statistics"]
