"""The verbs of the command line, a module each: read the options, do it, print it, give an exit code.

What a verb alone needs (the Kubernetes client, the Kubernetes classes of Pulumi) is imported within it: together it takes a
second, and the other verbs' `--help` need none of it.
"""
