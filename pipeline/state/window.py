"""Counts over a sliding window: how often each of a few things happened in the last seconds.

Time is cut into slices; a slice holds one count a column and is dropped whole when it is too old. So the window forgets
in steps of one slice and never costs more than its slices, however much happens.
"""

from attrs import frozen


@frozen
class Shape:
    """What a window looks like: `length` slices of `slice_s` seconds, with `columns` counts each."""

    slice_s: float
    length: int
    columns: int


@frozen
class Window:
    """`slices` are (number, counts), oldest first; empty ones are left out."""

    shape: Shape
    slices: tuple[tuple[int, tuple[int, ...]], ...] = ()

    def added(self, column: int, now: float) -> "Window":
        """One more in `column` at `now`; what is told late counts in the newest slice."""
        number = int(now // self.shape.slice_s)
        if self.slices:
            last, counts = self.slices[-1]
            if last >= number:
                return Window(self.shape, (*self.slices[:-1], (last, _counted(counts, column))))
        kept = (one for one in self.slices if one[0] > number - self.shape.length)
        return Window(self.shape, (*kept, (number, _counted((0,) * self.shape.columns, column))))

    def totals(self, now: float) -> tuple[int, ...]:
        """The sum of each column as of `now`."""
        oldest = int(now // self.shape.slice_s) - self.shape.length
        rows = [counts for number, counts in self.slices if number > oldest]
        return tuple(map(sum, zip(*rows, strict=True))) if rows else (0,) * self.shape.columns

    def emptied(self) -> "Window":
        """The same window with nothing in it."""
        return Window(self.shape)


def _counted(counts: tuple[int, ...], column: int) -> tuple[int, ...]:
    return (*counts[:column], counts[column] + 1, *counts[column + 1 :])
