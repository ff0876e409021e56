"""The labels that users draw: which slices are complete, and reading and writing them on a volume's grid."""

__all__ = ["case_marks", "geometry", "label_layers", "label_maps", "marking"]
