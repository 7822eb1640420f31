"""A project's Git repository: its history, the commits that are made and pushed, and the record of a promotion in them."""
