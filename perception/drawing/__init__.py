"""Faces drawn on pictures, and sheets of them."""
