"""Helpers used by all parts of the pack."""
