"""The length of vectors."""

import math

# Providers round; what lies this near to length 1 is meant to be of length 1.
ROUNDING = 1e-2


def scaled(vector: list[float]) -> list[float]:
    """The vector with Euclidean length 1; one of zeros stays."""
    length = math.hypot(*vector)
    return [value / length for value in vector] if length else vector


def cut(vector: list[float], dimensions: int | None) -> list[float]:
    """The first `dimensions` values, scaled again; the whole vector where that is no part of it."""
    return scaled(vector[:dimensions] if dimensions and 0 < dimensions < len(vector) else vector)


def is_unit(vector: list[float]) -> bool:
    """Whether the vector is of length 1, or of none."""
    length = math.hypot(*vector)
    return length == 0 or abs(length - 1) <= ROUNDING
