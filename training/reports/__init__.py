"""Reports on training runs and datasets, with pictures."""
