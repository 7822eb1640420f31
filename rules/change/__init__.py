"""What must hold of a change to one region. The revision before is taken as delivered, and known to every proxy."""
