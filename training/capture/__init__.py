"""Recording one's own face at a camera."""
