"""Widgets and the base of both modules' panels."""

__all__ = ["device_box", "layout", "log_panel", "message_strip", "module_widget", "run_progress", "tables"]
