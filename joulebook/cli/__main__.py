"""`python -m joulebook.cli`."""

import sys

from joulebook.cli import main

sys.exit(main())
