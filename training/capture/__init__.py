"""Recording your own face with a webcam."""
