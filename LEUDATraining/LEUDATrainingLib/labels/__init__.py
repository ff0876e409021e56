"""The labels that users draw: which slices are complete, and reading and writing them on the grid of a volume."""

__all__ = ["case_marks", "conflicts", "geometry", "label_layers", "label_maps", "marks", "segment_names"]
