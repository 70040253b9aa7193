"""What is known, as small frozen values, and the one holder of the newest of them."""
