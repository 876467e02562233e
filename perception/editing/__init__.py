"""Edit, mix and schedule perceptions."""
