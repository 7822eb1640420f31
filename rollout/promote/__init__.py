"""Changes of weights: committed, delivered, watched, judged; then the next one, or back."""
