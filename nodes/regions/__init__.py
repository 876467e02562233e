"""Nodes that say where in the picture faces are: masks, crops and control pictures."""
