"""Actions under fuzz: items of every kind, valid, wrong by a little, and no items at all.

``python -m tests.fuzz_actions --payloads 1000000`` puts so many jobs to a worker in a process of
its own, over a Redis of its own, and looks at each answer. An oracle that shares no code with what
is tested says which of them are to be done.
"""
