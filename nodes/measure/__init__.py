"""Nodes that measure what a face changes."""
