"""The built-in phantom: synthetic hearts with two appearances, MR and CT."""
