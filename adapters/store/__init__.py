"""Where Records are kept for longer than the process lives."""
