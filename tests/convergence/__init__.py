"""Followers that are cut off again and again while feeds change; see ``docs/convergence.rst``."""
