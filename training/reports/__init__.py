"""Reports of training and of datasets, in pictures."""
