"""Child processes of Slicer: commands and the warm worker, where they run, and what they need. For both modules."""

__all__ = ["child_process", "commands", "environment", "installation", "packages", "worker_client"]
