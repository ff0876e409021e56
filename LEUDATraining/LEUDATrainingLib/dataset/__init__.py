"""The dataset of a training: cases from files, whether a training can start, and writing the files."""

__all__ = ["case_loading", "dataset_import", "dataset_writer", "readiness", "step_states"]
