"""The pages of the dashboard, one file for each group: each asks its questions and draws their Views."""
