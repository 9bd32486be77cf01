"""What it could be: estimators and scenarios. Each is a frozen dataclass with `estimate(...) -> Estimate`."""
