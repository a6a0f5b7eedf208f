"""The eyes: the block's pose from camera images."""
