"""Return on Environment: what a use of AI caused, what it avoided by evidence, and the one over the other."""
