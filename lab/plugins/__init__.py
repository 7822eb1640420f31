"""Stand-ins for the Pulumi plugins that cannot be installed where only package registries are reachable."""
