"""Prices of calls: dated lists, which of them hold for a call, and what it costs by them.

listed     the price list of `genai-prices`: providers, models, units, and what stands in it
"""
