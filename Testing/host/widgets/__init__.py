"""Stand-ins for the widgets of CTK and Slicer."""
