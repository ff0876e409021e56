"""The model bundle, the result of a training: its schema, its files, and the store that lists models."""
