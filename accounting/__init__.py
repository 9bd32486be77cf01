"""The domain: units, records, factors, formulas, assessment, journal and ledger.

Floor 0 (`errors`, `units`, `records`) needs the standard library only and is all that a recording job loads,
together with `home` and `journal`. Floor 1 (everything else here) may need the `ledger` extra.
"""
