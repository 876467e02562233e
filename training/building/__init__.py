"""Building a dataset from pictures and videos with prompts."""
