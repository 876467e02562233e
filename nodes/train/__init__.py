"""Nodes that collect datasets and train projections."""
