"""Typed Pulumi components that bring up one region: Istio, echo, the way its traffic is split, and the measuring client."""
