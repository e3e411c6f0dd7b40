"""What followers are put through, at any length: ``python -m tests.trials --help``."""
