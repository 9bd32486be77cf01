"""The errors a user of joulebook may catch.

JoulebookError
├── InputError        what was given cannot be used (also a ValueError)
│   ├── SiteError     the site file
│   ├── FactorError   a factor table
│   └── UnitError     a unit
├── LedgerError       the ledger cannot be opened, read or written
│   ├── LedgerBusy    another process holds it and did not let go in time
│   └── NewerSchema   the ledger was written by a newer joulebook
├── NotFound          what was asked for is not in the ledger (also a LookupError)
└── MissingExtra      an optional package is not installed (also an ImportError)

Every message says what was read, what is wrong and what to do.
Accounting raises these. Collectors never raise them into the user's job, except under `strict`.
"""

from __future__ import annotations


class JoulebookError(Exception):
    """Any error that joulebook raises on purpose; the message is fit to be shown to a user."""


class InputError(JoulebookError, ValueError):
    """What was given cannot be used."""


class SiteError(InputError):
    """The site file cannot be used."""


class FactorError(InputError):
    """A factor table or row cannot be used."""


class UnitError(InputError):
    """A unit is unknown, or two units measure different things."""


class LedgerError(JoulebookError):
    """The ledger cannot be opened, read or written."""


class LedgerBusy(LedgerError):
    """Another process holds the ledger and did not let go in time."""


class NewerSchema(LedgerError):
    """The ledger was written by a newer joulebook."""


class NotFound(JoulebookError, LookupError):
    """What was asked for is not in the ledger."""


class MissingExtra(JoulebookError, ImportError):
    """An optional package is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs packages that are not installed: pip install 'joulebook[{extra}]'")
