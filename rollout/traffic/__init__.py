"""Where counts come from: the requests that the probe of a region sends."""
