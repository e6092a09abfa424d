"""What models read: toy worlds, packs of real data and their sources."""
