"""What openai-python makes of silences and of failures in a stream, whichever of OpenAI's languages it speaks."""

import httpx
import openai
import pytest

from adapters.dialects import DIALECTS
from pipeline.values.events import Batch, Failed, Finished, Started, TextDelta
from pipeline.values.problems import Kind, Problem
from tests.adapters.dialects.calls import BEGAN, ID, post

WHOLE = [(Started("m"),), (TextDelta("Hel"),), (TextDelta("lo"), Finished("stop"))]
BROKEN = [(Started("m"), TextDelta("Hel")), (Failed(Problem(Kind.STREAM_ERROR, "broke off")),)]
REFUSED = [(Failed(Problem(Kind.OVERLOADED, "too much")),)]


def chats(client):
    for chunk in client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], stream=True
    ):
        yield from (choice.delta.content or "" for choice in chunk.choices)


def completions(client):
    for chunk in client.completions.create(model="m", prompt="hi", stream=True):
        yield from (choice.text for choice in chunk.choices)


def responses(client):
    for event in client.responses.create(model="m", input="hi", stream=True):
        if event.type == "response.output_text.delta":
            yield event.delta


def answering(batches):
    """A proxy that is silent at first, for two keep-alives, and then answers with these batches."""

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        dialect = DIALECTS[path]
        asked = dialect.read(post(path, request.content))
        state, data = dialect.fresh(asked, ID, BEGAN), b""
        for _ in range(2):
            state, silence = dialect.keep_alive(state, 15.0)
            assert silence
            data += silence
        for batch in batches:
            state, written = dialect.write(state, Batch(batch), 40.0)
            data += written
        head = dialect.head(state)
        return httpx.Response(head.status, headers=dict(head.headers), content=data)

    transport = httpx.MockTransport(answer)
    with_answers = httpx.Client(transport=transport)
    return openai.OpenAI(base_url="http://proxy/v1", api_key="x", max_retries=0, http_client=with_answers)


ALL = pytest.mark.parametrize("said", [chats, completions, responses])


@ALL
def test_a_silence_is_passed_over(said):
    with answering(WHOLE) as client:
        assert "".join(said(client)) == "Hello"


@ALL
@pytest.mark.parametrize(
    ("batches", "before", "kind"),
    [
        pytest.param(BROKEN, "Hel", "upstream_error", id="in the middle"),
        pytest.param(REFUSED, "", "overloaded", id="after silence alone"),
    ],
)
def test_a_failure_is_raised(said, batches, before, kind):
    text = ""
    with answering(batches) as client, pytest.raises(openai.APIError) as caught:
        for piece in said(client):
            text += piece
    assert text == before
    assert caught.value.body["type"] == kind
    assert ID in caught.value.message
