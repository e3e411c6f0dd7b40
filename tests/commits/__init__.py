"""Jobs raise a counter while workers and Redis are killed: ``python -m tests.commits``."""
