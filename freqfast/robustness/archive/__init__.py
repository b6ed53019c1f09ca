"""A corrupted test set on disk: written, read, and the published one."""
