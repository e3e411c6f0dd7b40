"""A type of one's own, shared with Node programs: see ``python -m examples.counter --help``."""
