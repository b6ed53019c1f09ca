"""How fast a network runs on this device: precision, memory and small feature maps."""
