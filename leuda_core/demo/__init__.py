"""``leuda demo``: the whole method on phantom data, with pictures, a report and a scene for 3D Slicer."""
