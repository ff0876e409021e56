"""Widgets and the common base class of both modules."""

__all__ = [
    "device_box",
    "layout",
    "log_panel",
    "message_strip",
    "method_titles",
    "module_widget",
    "picture",
    "run_progress",
    "tables",
]
