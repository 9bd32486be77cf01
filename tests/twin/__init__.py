"""A hardware twin: sensors of machines that are not here, all showing one power whose integral is known."""
