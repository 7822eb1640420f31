"""What a change does to the requests: stack files and overlays read, rendered, compared and judged."""
