"""The objects of a region, read once into frozen types: what the rules look at."""
