"""The team board in a real browser: programs that drive one, for ``tests.test_board_browser``.

Playwright's plain interface must not run in the reactor's thread, so each scenario is a process of
its own, which prints what it has seen as JSON. ``python -m tests.browser`` runs the long variants.
"""
