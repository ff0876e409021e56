"""Prediction: volumes, in memory or in files, into label maps with a trained model."""
