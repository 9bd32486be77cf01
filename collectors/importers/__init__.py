"""Other tools' records and providers' exports, as events of the journal: one function each.

a file ─> rows, one at a time ─> events, or what is wrong with a row ─> a journal ─> the ledger, as ever
"""
