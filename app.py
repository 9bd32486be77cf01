"""`streamlit run app.py`: the dashboard of a checkout."""

from __future__ import annotations

from joulebook.reports.dashboard import main

main()
