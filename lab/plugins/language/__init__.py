"""A stand-in for Pulumi's Python language host: `python -m lab.plugins.language [FLAGS] ENGINE_ADDRESS`."""
