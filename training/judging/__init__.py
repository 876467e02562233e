"""How good a projection is on people and clips that it has not seen, beside simple rules."""
