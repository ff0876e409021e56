"""Child processes of Slicer: commands, the worker, their environment and the packages they need. For both modules."""

__all__ = ["child_process", "commands", "environment", "exchange_folder", "installation", "packages", "worker_client"]
