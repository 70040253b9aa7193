"""Frozen values: what goes in, what comes out, what happened."""
