"""Nodes that apply faces and emotions to prompts."""
