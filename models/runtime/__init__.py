"""Idealized runtime: what a model alone would take on named hardware and software, and how it is fitted."""
