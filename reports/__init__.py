"""What people see: views, figures, the terminal, the dashboard, the PDF."""
