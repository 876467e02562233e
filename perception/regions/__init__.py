"""The parts of a face as masks and boxes in a picture of any size."""
