"""How what is committed reaches the regions: the Git remote, the Application of Argo CD, the stacks of Pulumi."""
