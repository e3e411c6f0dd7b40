"""Schedulers on hosts whose clocks are wrong, killed at any instant."""
