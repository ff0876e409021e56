"""The volumes and the structures of a training, kept in the scene."""

__all__ = ["cases", "structures"]
