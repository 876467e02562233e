"""Train a network on a dataset."""
