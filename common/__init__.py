"""What every part of the pack uses: threads."""
