"""The panel of LE-UDA Segmentation and its parts."""

__all__ = ["panel", "preview_control", "volume_list"]
