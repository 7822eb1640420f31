"""What the machine gives a lab: its disk, packages, cgroups, network namespaces and processes."""
