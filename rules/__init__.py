"""What must hold of a region, between regions and from one revision to the next, so that no request is lost. Pure."""
