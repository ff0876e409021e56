"""The effect "LE-UDA" of the Segment Editor: the model as a tool among the others."""

__all__ = ["choices", "registration", "tool"]
