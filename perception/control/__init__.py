"""Faces as the pictures and key points that ControlNets follow."""
