"""Typed Pulumi components that bring up one region: Istio, echo, the way its traffic is split, and the measuring client."""

import gc

# The SDKs' classes are many objects of which none is ever garbage. To look through them again and again, as Python does after each
# 700 that are made, takes a quarter of the time of a plan.
gc.set_threshold(50_000, 20, 50)
