"""`python -m rollout`."""

from rollout.cli import app

app(prog_name="python -m rollout")
