"""Projections of a portfolio of AI use to 2030 and 2035 under scenarios, by engines side by side."""
