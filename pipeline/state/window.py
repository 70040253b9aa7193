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

    def added(self, column: int, now: float, count: int = 1) -> "Window":
        """`count` more in `column` at `now`; what is told late counts in the newest slice."""
        shape, slices = self.shape, self.slices
        number = int(now // shape.slice_s)
        if slices and slices[-1][0] >= number:
            number, counts = slices[-1]
            kept, row = slices[:-1], [*counts]
        else:
            oldest = number - shape.length
            kept, row = tuple([one for one in slices if one[0] > oldest]), [0] * shape.columns
        row[column] += count
        return Window(shape, (*kept, (number, tuple(row))))

    def rows(self, now: float) -> list[tuple[int, ...]]:
        """The counts of each slice that is not too old as of `now`, oldest first."""
        oldest = int(now // self.shape.slice_s) - self.shape.length
        return [counts for number, counts in self.slices if number > oldest]

    def totals(self, now: float) -> tuple[int, ...]:
        """The sum of each column as of `now`."""
        rows = self.rows(now)
        return tuple(map(sum, zip(*rows, strict=True))) if rows else (0,) * self.shape.columns

    def emptied(self) -> "Window":
        """The same window with nothing in it."""
        return Window(self.shape)
