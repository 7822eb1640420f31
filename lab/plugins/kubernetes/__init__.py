"""A stand-in for Pulumi's `kubernetes` provider, over the official Kubernetes client and Helm itself.

It follows the official provider's semantics for one generic path through every kind, and refuses by name what it does not do.
Run as `python -m lab.plugins.kubernetes ENGINE_ADDRESS`; prints the port that it serves on.
"""
