"""One segmentation, from the volume node to its results in the scene; what a model learns from corrected results."""

__all__ = [
    "corrected_cases",
    "history",
    "improvement",
    "job",
    "job_queue",
    "next_slice",
    "order",
    "progress",
    "results",
    "statistics",
    "trainings",
    "worker_job",
]
