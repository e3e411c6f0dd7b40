"""Bridges that are killed at random: ``python -m tests.bridge``."""
