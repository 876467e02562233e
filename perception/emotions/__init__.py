"""Emotions read from faces."""
