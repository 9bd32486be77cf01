"""`python -m joulebook.cli`."""

from __future__ import annotations

import sys

from joulebook.cli import main

sys.exit(main())
