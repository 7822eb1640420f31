"""What is on a cluster already and is used: Istio and Argo CD of others, and services that run."""
