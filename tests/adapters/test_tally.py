"""What became of all attempts at a provider."""

from collections import defaultdict

from adapters.tally import Tally, count
from pipeline.values.events import Usage
from pipeline.values.exchange import Attempt, Record
from pipeline.values.problems import Kind


def record(*attempts, served=None, usage=Usage()):
    return Record(
        id="x", at=0.0, caller=None, dialect="ollama.chat", operation="chat", model="m", stream=True,
        outcome="ok", problem=None, status=200, served=served, attempts=attempts, losses=(), usage=usage,
        queued_s=0.0, ttft_s=None, duration_s=1.0,
    )  # fmt: skip


def tallied(*records):
    tallies = defaultdict(Tally)
    for one in records:
        count(one, tallies)
    return {name: (one.succeeded, one.failed, one.cancelled, one.answers) for name, one in tallies.items()}


def test_each_attempt_counts_where_it_was_made():
    failed = Attempt(1, "a/m", 0.0, 1.0, verdict=Kind.SERVER)
    well = Attempt(2, "b/m", 1.0, 2.0, first=1.5, committed=True)
    left = Attempt(3, "b/other", 1.0, 2.0, cancelled=True)
    unended = Attempt(1, "b/m", 1.0)
    found = tallied(record(failed, well, left, served="b/m"), record(unended))
    assert found == {"a": (0, 1, 0, 0), "b": (1, 0, 2, 1)}


def test_tokens_are_those_of_who_answered():
    tallies = defaultdict(Tally)
    for _ in range(2):
        count(record(Attempt(1, "a/m", 0.0, 1.0), served="a/m", usage=Usage(input=10, output=3)), tallies)
    count(record(usage=Usage(input=99)), tallies)
    assert (tallies["a"].input_tokens, tallies["a"].output_tokens, tallies["a"].attempts) == (20, 6, 2)
