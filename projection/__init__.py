"""Perceptions to CLIP vectors to CONDITIONING."""
