"""How far one face's expression is that of another."""
