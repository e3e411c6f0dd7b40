"""What ``make demo`` and ``make demo-history`` share, and no part of what they show of txThoonk.

``service`` is the life of a demo: it starts a Redis of its own, runs, and ends without a trace when
it is done, has failed, or somebody presses Ctrl-C. ``processes`` keeps its other processes running,
``terminal`` talks.
"""
