"""The kill matrix: worker processes die at every instant there is, and no job is lost."""
