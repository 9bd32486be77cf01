"""Prices of calls: dated lists, which of them hold for a call, and what it costs by them.

listed     the price list of `genai-prices`: providers, models, units, and what stands in it
compiled   that list as rows: one for each price, context and time in which it holds
fallback   undated prices of models that it does not know
contract   a user's own prices and discounts, above both: `prices.toml` in the home
nesting    which price a part of a call has
rates      rows, discounts and own prices as what each unit costs, and when
versions   which lists were in force from when on
pricing    what calls cost by a version: all at once, in SQL
"""
