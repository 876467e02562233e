"""The 52 actions of a face, its gaze, and both in words."""
