"""`python -m joulebook`."""

import sys

from joulebook.cli import main

sys.exit(main())
