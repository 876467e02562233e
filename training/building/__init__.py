"""Pictures and videos with prompts into a dataset."""
