"""Prompts generated from labels."""
