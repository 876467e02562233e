"""Text encoders: prompts into the vectors that Stable Diffusion is conditioned on."""
