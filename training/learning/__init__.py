"""A dataset → a trained, judged checkpoint."""
