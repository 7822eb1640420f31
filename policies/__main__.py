"""Serve the policy pack: `pulumi preview --policy-pack policies` starts this."""

import os
import sys
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[1]
# Pulumi runs this in the pack's folder, where there is no `rules`; and what is judged must be judged by this checkout's own
sys.path.insert(0, str(_PROJECT))

from pulumi_policy import PolicyPack  # noqa: E402

from policies.pack import policies  # noqa: E402
from policies.stack import told  # noqa: E402

PolicyPack("echo-rollout", policies(_PROJECT, told(os.environ)))
