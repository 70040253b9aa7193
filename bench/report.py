"""What was measured, as tables."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from bench.cases import Case, Kind
from bench.contenders import BARE, DIRECT
from bench.measuring import Result

# Of one case: by contender, one Result a round; None where a round had none.
Rounds = Mapping[str, Sequence[Result | None]]


@frozen
class Round:
    """One contender's result beside those of the same round that it is compared with."""

    result: Result
    bare: Result | None
    direct: Result | None


Value = Callable[[Round], float | None]


@frozen
class Column:
    """A column: the median over the rounds of `value`, with so many digits behind the point."""

    title: str
    value: Value
    digits: int


def cpu_ms_per_reply(result: Result) -> float | None:
    """CPU milliseconds of the gateway for each answer."""
    if result.gateway_cpu_s is None or not result.done:
        return None
    return result.gateway_cpu_s * 1000 / result.done


def cpu_us_per_chunk(result: Result) -> float | None:
    """CPU microseconds of the gateway for each chunk, with the request's own share."""
    if result.gateway_cpu_s is None or not result.chunks:
        return None
    return result.gateway_cpu_s * 1e6 / result.chunks


def rate(count: float, seconds: float) -> float | None:
    """Of a second; None where there was none."""
    return count / seconds if seconds else None


def beside_bare(cost: Callable[[Result], float | None]) -> Value:
    """How many times what the bare server and client cost in the same round."""

    def value(one: Round) -> float | None:
        own, floor = cost(one.result), cost(one.bare) if one.bare else None
        return own / floor if own is not None and floor else None

    return value


def added(time_ms: Callable[[Result], float]) -> Value:
    """What is added to the provider's own time in the same round."""

    def value(one: Round) -> float | None:
        if one.direct is None or one.result is one.direct or not one.result.done:
            return None
        return time_ms(one.result) - time_ms(one.direct)

    return value


def of(read: Callable[[Result], float | None]) -> Value:
    """A value that stands in the result itself."""
    return lambda one: read(one.result)


def answered(time_ms: Callable[[Result], float]) -> Value:
    """A time, where there was an answer to take it from."""
    return lambda one: time_ms(one.result) if one.result.done else None


FAILED = Column("failed", of(lambda result: result.failed), 0)
CHUNK_COST = (
    Column("CPU us/chunk", of(cpu_us_per_chunk), 1),
    Column("x bare", beside_bare(cpu_us_per_chunk), 2),
)
CHUNK_DELAY = (
    Column("delay p50 ms", answered(lambda result: result.delay_p50_ms), 2),
    Column("p99 ms", answered(lambda result: result.delay_p99_ms), 2),
    Column("added p50 ms", added(lambda result: result.delay_p50_ms), 2),
    Column("added p99 ms", added(lambda result: result.delay_p99_ms), 2),
)
COLUMNS: Mapping[Kind, Sequence[Column]] = {
    Kind.WHOLE: (
        Column("CPU ms/request", of(cpu_ms_per_reply), 3),
        Column("x bare", beside_bare(cpu_ms_per_reply), 2),
        Column("requests/s", of(lambda result: rate(result.done, result.wall_s)), 0),
        Column("p50 ms", answered(lambda result: result.total_p50_ms), 2),
        Column("p99 ms", answered(lambda result: result.total_p99_ms), 2),
        Column("added p50 ms", added(lambda result: result.total_p50_ms), 2),
        FAILED,
    ),
    Kind.FLAT: (
        *CHUNK_COST,
        Column("chunks/s", of(lambda result: rate(result.chunks, result.wall_s)), 0),
        FAILED,
    ),
    Kind.PACED: (*CHUNK_COST, *CHUNK_DELAY, FAILED),
    Kind.OPEN: (
        Column("finished", of(lambda result: result.done), 0),
        FAILED,
        Column("open at once", of(lambda result: result.open_most), 0),
        *CHUNK_COST,
        *CHUNK_DELAY,
        Column("KB/stream", of(lambda result: result.kb_per_stream), 1),
    ),
}


def rounds_of(name: str, rounds: Rounds) -> list[Round]:
    """Each round of a contender with those it is compared with."""

    def other(who: str, number: int) -> Result | None:
        results = rounds.get(who, ())
        return results[number] if number < len(results) else None

    return [
        Round(result, other(BARE, number), other(DIRECT, number))
        for number, result in enumerate(rounds[name])
        if result is not None
    ]


def cell(column: Column, rounds: Sequence[Round]) -> str:
    """The median of a column, or "-" where there is nothing to tell."""
    values = [value for value in map(column.value, rounds) if value is not None]
    return shown(statistics.median(values), column.digits) if values else "-"


def shown(value: float, digits: int) -> str:
    """A number with its digits; thousands are parted."""
    return f"{value:,.{digits}f}" if math.isfinite(value) else "-"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown whose first column is text and whose others are numbers, aligned for whoever reads the source."""
    lines = [list(titles), *map(list, rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(titles))]

    def line_of(cells: Sequence[str]) -> str:
        first, *others = cells
        padded = [first.ljust(widths[0])]
        padded += [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return "\n".join([line_of(lines[0]), rule, *map(line_of, lines[1:])])


def case_table(case: Case, rounds: Rounds) -> str:
    """One case: a row for each contender."""
    columns = COLUMNS[case.kind]
    rows = []
    for name in rounds:
        found = rounds_of(name, rounds)
        if found:
            bound = any(one.result.tool_bound for one in found)
            rows.append([f"{name} (!)" if bound else name, *(cell(column, found) for column in columns)])
    return table(["", *(column.title for column in columns)], rows)


def ceilings(cases: Sequence[Case], results: Mapping[str, Rounds], tls: Sequence[str]) -> str:
    """What the bench's own tools can do: replies or chunks for each second of their CPU time.

    `tls`: the contenders whose provider speaks TLS.
    """
    rows = []
    for case in cases:
        by_name = results[case.name]

        def median(
            names: Sequence[str],
            spent: Callable[[Result], float],
            rounds: Rounds = by_name,
            unit: Case = case,
        ) -> str:
            found = [result for name in names for result in rounds.get(name, ()) if result is not None]
            rates = [rate(units(unit, result), spent(result)) for result in found]
            kept = [value for value in rates if value]
            return shown(statistics.median(kept), 0) if kept else "-"

        rows.append(
            [
                case.name,
                "requests" if case.kind is Kind.WHOLE else "chunks",
                median([DIRECT], lambda result: result.load_cpu_s),
                median([DIRECT], lambda result: result.upstream_cpu_s),
                median(tls, lambda result: result.upstream_cpu_s),
            ]
        )
    return table(["case", "of", "load", "provider", "provider in TLS"], rows)


def units(case: Case, result: Result) -> int:
    """What a case is counted in."""
    return result.done if case.kind is Kind.WHOLE else result.chunks


def faults(results: Mapping[str, Rounds]) -> list[str]:
    """What went wrong, a line for each contender and case."""
    return [
        f"{name}, {case}: {result.failed} failed; the first: {result.fault}"
        for case, rounds in results.items()
        for name, found in rounds.items()
        for result in found
        if result is not None and result.failed
    ]


LEGEND = """CPU is user and system time of the gateway's whole process tree, read from /proc, until it has nothing left to do.
"x bare" is the median of the ratios within each round, "added" of the differences to `direct` within each round.
(!) marks speeds at which the bench's own tools were at their limit; CPU figures are not touched by that.
Figures of one table were taken in one run; between runs and machines only ratios compare."""


def document(
    command: str,
    facts: Mapping[str, str],
    notes: Sequence[str],
    cases: Sequence[Case],
    results: Mapping[str, Rounds],
    tls: Sequence[str],
) -> str:
    """All of it, as a page."""
    parts = [
        "# Results of the bench",
        f"Written by `{command}`; what is measured and how: [README](README.md).",
        LEGEND,
    ]
    parts.append("\n".join(f"- {name}: {value}" for name, value in facts.items()))
    for case in cases:
        rounds = results[case.name]
        count = max((len(found) for found in rounds.values()), default=0)
        noun = "round" if count == 1 else "rounds, medians"
        parts += [f"## {case.title}", f"`{case.name}`, {count} {noun}", case_table(case, rounds)]
    parts += ["## Ceilings of the bench's own tools", "A second of their CPU time is enough for so many:"]
    parts.append(ceilings(cases, results, tls))
    told = [*notes, *faults(results)]
    if told:
        parts += ["## Notes", "\n".join(f"- {note}" for note in told)]
    return "\n\n".join(parts) + "\n"
