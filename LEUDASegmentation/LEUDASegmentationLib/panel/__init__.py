"""The panel of LE-UDA Segmentation and its parts."""

__all__ = ["panel", "volume_list"]
