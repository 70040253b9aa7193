"""What became of all attempts at one provider, counted since the house began."""

from collections.abc import MutableMapping

from attrs import define

from pipeline.state.board import provider_of
from pipeline.values.exchange import Record


@define(eq=False)
class Tally:
    """`answers`: exchanges whose content came from it, with what they used. It grows in place: all requests pass here."""

    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    answers: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def attempts(self) -> int:
        """All of them."""
        return self.succeeded + self.failed + self.cancelled


def count(record: Record, tallies: MutableMapping[str, Tally]) -> None:
    """Add the attempts of an exchange to those of their providers."""
    for attempt in record.attempts:
        tally = tallies[provider_of(attempt.target)]
        if attempt.cancelled or attempt.ended is None:
            tally.cancelled += 1
        elif attempt.verdict is None:
            tally.succeeded += 1
        else:
            tally.failed += 1
    if record.served is not None:
        tally = tallies[provider_of(record.served)]
        tally.answers += 1
        tally.input_tokens += record.usage.input or 0
        tally.output_tokens += record.usage.output or 0
