"""Prediction: a trained model segments volumes, in memory or in files."""
