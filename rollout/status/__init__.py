"""What is, and what disagrees: weights held against weights, and shares against weights."""
