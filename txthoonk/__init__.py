"""Live data on Redis for Twisted: feeds, sorted feeds, queues and jobs."""

__version__ = "1.0.0.dev0"
