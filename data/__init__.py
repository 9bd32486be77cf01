"""Facts: factor tables, one row per fact with its source, date and licence."""
