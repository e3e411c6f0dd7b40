"""Job systems, each as a program: ``MODULE MODE JOBS HOST PORT [VARIANT]``; see ``common``.

They have their rivals' best settings. A rival's program runs in an environment of its own, in which
neither txThoonk nor Twisted is installed.
"""
