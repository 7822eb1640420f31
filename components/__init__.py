"""Typed Pulumi components that bring up one region: Istio, echo, the way its traffic is split, and the measuring client."""

import gc

# The SDKs' classes are many objects, and none is ever garbage. Python looks through them after each 700 that are made, which takes
# about 5 % of the time of a plan.
gc.set_threshold(50_000, 20, 50)
