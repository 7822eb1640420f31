"""What a cluster has already. It is read and judged before anything is registered, in a preview too."""
