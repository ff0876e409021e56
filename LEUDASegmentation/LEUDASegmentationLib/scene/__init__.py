"""Volumes and segmentations of the scene as arrays, and work that does not block the window. For both modules."""

__all__ = [
    "corrections",
    "geometry",
    "layers",
    "nrrd",
    "scene_watch",
    "slice_views",
    "steps",
    "volume_files",
    "volumes",
]
