"""The model bundle, which is what a training ships: its schema, its files, and the store that lists models."""
