"""Probes of a model server or an in-process model: prompts and outputs of chosen sizes, with meters on."""
