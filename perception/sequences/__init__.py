"""Perceptions of videos and other sequences."""
