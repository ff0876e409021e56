"""From volumes to batches: slices are prepared once in files, from which random views are drawn."""
