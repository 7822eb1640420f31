"""The policy pack: the rules of one region on what Pulumi is about to apply, in `preview` and `up --policy-pack policies`."""
