"""The roofline: runtime, energy and cost of pairs of model and hardware that nobody measured."""
