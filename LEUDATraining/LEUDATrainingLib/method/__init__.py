"""The choice of a method and its settings, and the estimate of time and memory."""

__all__ = ["estimate_panel", "method_form", "schema_form", "setting_fields"]
