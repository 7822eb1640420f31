"""What must hold between regions, and of changes to several of them at once."""
