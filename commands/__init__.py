"""The command line, and the composition root that all commands share. `app.py` is where it is run from."""
