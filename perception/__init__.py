"""Pictures to perceptions."""
