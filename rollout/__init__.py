"""The operator's command: it plans a change, measures what clients get, and promotes a version."""
