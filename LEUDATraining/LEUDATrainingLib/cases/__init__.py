"""The cases and structures of a training: in the scene, in their panel, and written as a dataset."""

__all__ = ["cases", "cases_table", "dataset_writer", "readiness", "source_cases", "structures", "structures_panel"]
