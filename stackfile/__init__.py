"""What may a stack file say? Read once, checked whole, described for editors, and edited in place."""
