"""What a region's cluster has: Argo CD's Application, the live objects, the Envoys, and the outputs of its stack."""
