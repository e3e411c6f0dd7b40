"""The contract as a thing of its own: vectors that any implementation can be put through.

A *vector* says what is in Redis, what is asked for, and what must be there, be told and be
answered afterwards: JSON files under ``vectors``. A *driver* is a program in whatever language
that does verbs by an implementation; it is spoken to by lines of JSON. The *runner*,
``python -m txthoonk conformance --redis URL --driver "COMMAND"``, puts a driver through the
vectors. See ``docs/conformance.rst``.
"""
