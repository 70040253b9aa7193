"""A fake of the providers in their true wire formats: for demonstrations, tests, load and drills."""
