"""The dashboard on the hand-made Views, as a Streamlit script for the browser tests."""

from __future__ import annotations

import os
import sys

import stand_in

from joulebook.reports.dashboard import main

stand_in.install(sys.modules, os.environ.get("STAND_IN", "full"), [])
main()
