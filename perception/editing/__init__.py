"""Perceptions edited, blended and scheduled."""
