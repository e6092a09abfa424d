"""Training loops, one file each, and the checkpoints and metrics they share."""
