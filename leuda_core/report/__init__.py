"""Pages that show results: one about a run, and the parts that other pages and pictures are made of."""
