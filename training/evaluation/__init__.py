"""How good a projection is on faces that it was not trained on."""
