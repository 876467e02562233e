"""Project perceptions to CLIP vectors and apply these to CONDITIONING."""
