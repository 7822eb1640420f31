"""The verbs of the command line, a module each.

A verb reads its options, does its work, prints what came of it, and gives an exit code. What a verb alone needs (the Kubernetes
client, the Kubernetes classes of Pulumi) is imported within it: together it takes a second, and the `--help` of the others needs
none of it.
"""
