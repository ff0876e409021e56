"""Durations as text. The unit symbols s, min and h are international, so the text needs no translation."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a measured time: ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def estimated_duration(seconds: float) -> str:
    """Return an estimated time, rounded to a useful precision: ``89 s``, ``3 min``, ``2 h 10 min``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
