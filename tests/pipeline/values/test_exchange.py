"""exchange: what becomes of one request."""

from attrs import evolve, fields

from pipeline.values.callers import Caller, Priority
from pipeline.values.exchange import Exchange, Plan, Preference
from pipeline.values.messages import LoadRequest

# No field has its default.
EXCHANGE = Exchange(
    id="x",
    request=LoadRequest("m"),
    dialect="ollama.chat",
    arrived=1.0,
    deadline=2.0,
    caller=Caller("key"),
    preference=Preference(("a",), only=True),
    priority=Priority.HIGH,
    strict=True,
    forwarded={"traceparent": "00"},
    plan=Plan((), "old"),
    strategy="priority",
    client_retry=True,
    explain=True,
)


def test_a_plan_changes_nothing_else():
    plain = Exchange("y", LoadRequest("n"), "openai.chat", 0.0, 0.0)
    same = [one.name for one in fields(Exchange) if getattr(plain, one.name) == getattr(EXCHANGE, one.name)]
    assert same == [], "a field that is equal in both could be lost unseen"
    plan = Plan((), "new")
    assert EXCHANGE.planned(plan) == evolve(EXCHANGE, plan=plan)
