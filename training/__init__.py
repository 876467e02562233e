"""Pictures and prompts to a dataset, to a checkpoint; and the command line."""
