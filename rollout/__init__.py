"""The operator's command: what a change does, what is, and the way of a version to all requests and back."""
