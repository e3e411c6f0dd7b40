"""The real thoonk.py, run beside ours. ``docs/peers.rst`` says what of it is shown."""
