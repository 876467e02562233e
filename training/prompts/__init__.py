"""Labels into prompts."""
