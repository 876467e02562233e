"""What a dataset contains, and what is wrong with it."""
