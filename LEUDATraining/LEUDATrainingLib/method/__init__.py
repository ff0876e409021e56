"""The choice of a method and its settings, the estimate, and Start."""

__all__ = ["estimate_panel", "method_catalog", "method_form", "schema_form", "setting_fields", "start_panel"]
