"""The sections of the window from Structures to Start."""

__all__ = ["cases_table", "guide", "marking", "source_cases", "start_panel", "structures_panel"]
