"""The lab's Python language host, since Pulumi's own is in no package registry: `python -m lab.language_host [FLAGS] ENGINE_ADDRESS`."""
