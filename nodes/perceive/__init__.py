"""Nodes that perceive faces, and show and store what was perceived."""
