"""Garbage for web processes: requests, bodies, frames and messages that nobody should send.

``python -m tests.web_fuzz --seconds 600`` goes on for longer than the test suite does.
"""
