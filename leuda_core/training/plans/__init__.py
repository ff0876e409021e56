"""Plans of trainings: what the caller left open is chosen, and what it costs is estimated."""
