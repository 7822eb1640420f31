"""Two real clusters on one machine, and the tools they need."""
