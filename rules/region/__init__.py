"""What must hold of a region by itself."""
