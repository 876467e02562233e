"""Nodes for the places of faces in pictures: masks, crops and control pictures."""
