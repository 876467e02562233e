"""Where in the picture faces are: masks and boxes of their parts, and crops that are pasted back."""
