"""Faces found, and their landmarks."""
