"""Samples: stored, read, written, copied."""
