"""Nodes that change and combine perceptions."""
