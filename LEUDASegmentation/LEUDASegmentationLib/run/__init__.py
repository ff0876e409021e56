"""One segmentation, from the volume node to its results in the scene, and the live preview."""

__all__ = ["job", "job_queue", "order", "progress", "results", "statistics"]
