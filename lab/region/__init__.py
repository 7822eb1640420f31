"""One regional cluster: its certificates, its processes, and how it comes up."""
