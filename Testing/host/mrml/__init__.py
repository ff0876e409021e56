"""The real MRML scene with its logics, its files and its subject hierarchy."""
