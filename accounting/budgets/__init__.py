"""Budgets of carbon, energy, cost or tokens: what is burnt, what is to be expected, and whom to tell."""
