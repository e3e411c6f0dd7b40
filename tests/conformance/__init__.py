"""All faults against all vectors; see ``__main__``."""
