"""Evaluate a projection on faces that it was not trained on."""
