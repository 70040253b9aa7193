"""Periods of the calendar in UTC. A period is numbered by the second of the epoch in which it begins.

So the periods of all lengths are on one scale: a budget that was for a day and is for a month from now on moves forward
as any other does.
"""

from datetime import UTC, datetime

from pipeline.values.callers import Period

HOUR_S, DAY_S, WEEK_S = 3600, 86_400, 604_800
# The epoch began on a Thursday, and weeks begin on Mondays.
MONDAY_S = 4 * DAY_S
LENGTHS = {"hour": HOUR_S, "day": DAY_S, "week": WEEK_S}


def beginning(period: Period, epoch: float) -> int:
    """When the period began that `epoch` is in."""
    if period == "month":
        moment = datetime.fromtimestamp(epoch, UTC)
        return _first_of(moment.year, moment.month)
    shift, length = (MONDAY_S if period == "week" else 0), LENGTHS[period]
    return int((epoch - shift) // length) * length + shift


def following(period: Period, begun: int) -> int:
    """When the next period begins after that which `begun` is in."""
    if period == "month":
        moment = datetime.fromtimestamp(begun, UTC)
        year, month = divmod(12 * moment.year + moment.month, 12)
        return _first_of(year, month + 1)
    return beginning(period, begun) + LENGTHS[period]


def _first_of(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp())
