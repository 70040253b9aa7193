import json
import logging
import os
import re
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import logs
from adapters.logs import LogOptions, json_line, logging_to, redactor, text_line, to_descriptor
from pipeline.values.secrets import Secret

SECRET = "correct-horse-battery-staple"
ODD = 'pa"ss\\wörd/with%odd&signs'


class Sink(list):
    """Collects lines."""

    def __call__(self, data):
        self.append(data.decode())


def record(message="hello", *given, level=logging.INFO, **extra):
    made = logging.makeLogRecord({"name": "x", "levelno": level, "levelname": logging.getLevelName(level)})
    made.msg, made.args, made.created = message, given, 1_790_000_000.5
    vars(made).update(extra)
    return made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"key {SECRET}!", "key ****!", id="a known secret"),
        pytest.param(f"odd {ODD}", "odd ****", id="with signs in it"),
        pytest.param(json.dumps(ODD), '"****"', id="as JSON writes it"),
        pytest.param("url pa%22ss%5Cw%C3%B6rd%2Fwith%25odd%26signs", "url ****", id="as a URL writes it"),
        pytest.param("ollama", "ollama", id="a placeholder is no secret"),
        pytest.param("got sk-proj-abc_DEF-123456, sorry", "got ****, sorry", id="a key of OpenAI's shape"),
        pytest.param("AIzaSyA1234567890123456789012", "****", id="of Google's"),
        pytest.param("AKIAIOSFODNN7EXAMPLE", "****", id="of Amazon's"),
        pytest.param("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_123", "****", id="a signed token"),
        pytest.param("Authorization: Bearer abc.def", "Authorization: Bearer ****", id="a header"),
        pytest.param(
            "'authorization': 'Basic dXNlcg=='", "'authorization': 'Basic ****'", id="quoted, of another kind"
        ),
        pytest.param("BEARER  xyz123", "BEARER  ****", id="in capitals"),
        pytest.param("/v1?key=abc123&alt=sse", "/v1?key=****&alt=sse", id="in a query"),
        pytest.param("?access_token=abc", "?access_token=****", id="a token in a query"),
        pytest.param("x-api-key: abc", "x-api-key: ****", id="an API key"),
        pytest.param('{"api_key":"abc","a":1}', '{"api_key":"****","a":1}', id="in JSON, which stays JSON"),
        pytest.param(
            r'"{\"x-goog-api-key\": \"abc\"}"', r'"{\"x-goog-api-key\": \"****\"}"', id="in JSON in JSON"
        ),
        pytest.param(
            "aws_secret_access_key = abc/def", "aws_secret_access_key = ****", id="in a settings file"
        ),
        pytest.param(
            "input_tokens=5 risk-free", "input_tokens=5 risk-free", id="what only looks like one stays"
        ),
        pytest.param("openai/gpt-4o ok, task-12", "openai/gpt-4o ok, task-12", id="names stay"),
    ],
)
def test_secrets_are_masked(text, expected):
    assert redactor([Secret(SECRET), Secret(ODD), Secret("ollama"), Secret("")])(text) == expected


@given(st.text(), st.text(min_size=8).filter(lambda text: not text.isspace()), st.text())
def test_no_known_secret_survives(before, secret, after):
    redacted = redactor([Secret(secret)])
    for shape in (json_line, text_line):
        line = redacted(shape(record("%s%s%s", before, secret, after, note=before + secret + after)))
        assert secret not in line.replace(logs.MASK, "")


@given(st.text(), st.text())
def test_a_json_line_is_json_whatever_is_logged(message, value):
    line = redactor([])(json_line(record("%s", message, value=value)))
    assert "\n" not in line
    assert json.loads(line)["logger"] == "x"


def test_a_json_line_says_when_what_and_all_that_was_added():
    line = json.loads(json_line(record("hi %s", "there", request_id="r1", status=200, none=None, odd=object)))
    assert line.pop("odd").startswith("<class")
    assert line == {
        "time": "2026-09-21T14:13:20.500Z",
        "level": "info",
        "logger": "x",
        "message": "hi there",
        "request_id": "r1",
        "status": 200,
    }


def test_a_line_for_people():
    line = text_line(record("hi", model="m\nFAKE line", status=200, none=None, empty=""))
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.500 INFO    x: hi model=m\\nFAKE line status=200", line)
    assert "\x1b[33m" in text_line(record("careful", level=logging.WARNING), colour=True)


def test_control_characters_of_a_client_do_nothing():
    assert "\x1b" not in text_line(record("a\x1b[2Jb", value="\x07"))


@pytest.mark.parametrize("as_json", [True, False])
def test_logging_writes_lines_without_secrets(as_json):
    sink = Sink()
    with logging_to(sink, LogOptions(as_json=as_json), [Secret(SECRET)]):
        log = logging.getLogger("some.room")
        log.info("with %s", SECRET, extra={"field": f"Bearer {SECRET}"})
        try:
            raise ValueError(f"bad key {SECRET}")
        except ValueError:
            log.exception("it failed")
        log.debug("not at this level")
    text = "".join(sink)
    assert SECRET not in text
    assert "Traceback" in text
    assert "ValueError: bad key ****" in text
    assert len(sink) == 2
    if as_json:
        assert [json.loads(line)["message"] for line in sink] == ["with ****", "it failed"]


def test_the_libraries_are_quiet():
    sink = Sink()
    with logging_to(sink, LogOptions(level="debug")):
        for name in ("httpx", "httpcore.http11", "hypercorn.error"):
            logging.getLogger(name).info("GET https://host/?key=abc")
            logging.getLogger(name).warning("odd")
        logging.getLogger("own").debug("detail")
    assert len(sink) == 4


def test_logging_is_as_before_afterwards():
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.getLogger("httpx").level)
    with logging_to(Sink(), LogOptions()):
        assert root.handlers != before[0]
    assert (root.handlers[:], root.level, logging.getLogger("httpx").level) == before


def test_what_is_logged_is_what_it_was_then():
    sink, changing = Sink(), []
    with logging_to(sink, LogOptions()):
        logging.getLogger("x").info("now %s", changing)
        changing.append(1)
    assert json.loads(sink[0])["message"] == "now []"


def test_a_reader_who_stops_reading_stops_nobody():
    blocked, sink = threading.Event(), Sink()

    def write(data):
        blocked.wait(10)
        sink(data)

    with logging_to(write, LogOptions(waiting_limit=10)) as handler:
        log = logging.getLogger("x")
        for number in range(100):
            log.info("line %d", number)
        assert handler.dropped >= 85
        blocked.set()
        while handler.dropped:
            log.info("again")
    assert any("lines were dropped" in line for line in sink)
    assert "line 0" in sink[0]


@pytest.mark.parametrize("lines", [1, 20])
def test_the_end_does_not_wait_for_a_reader_either(lines):
    blocked, began = threading.Event(), time.monotonic()
    with logging_to(lambda data: blocked.wait(10), LogOptions(waiting_limit=10, last_lines_s=0.2)):
        for _ in range(lines):
            logging.getLogger("x").info("line")
    assert time.monotonic() - began < 2.0
    blocked.set()


def test_a_line_that_cannot_be_written_is_not_the_last():
    sink = Sink()

    def write(data):
        if "one" in data.decode():
            raise OSError("gone")
        sink(data)

    with logging_to(write, LogOptions()):
        logging.getLogger("x").info("one")
        logging.getLogger("x").info("two")
    assert len(sink) == 1


def test_a_descriptor_gets_all_bytes(tmp_path):
    path = tmp_path / "out"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    to_descriptor(descriptor)(b"x" * 100_000)
    os.close(descriptor)
    assert path.read_bytes() == b"x" * 100_000


def test_a_process_ends_though_nobody_reads_its_output():
    """With a buffered stream the interpreter would wait for the thread that holds the buffer's lock, or abort."""
    code = (
        "import logging\n"
        "from adapters import logs\n"
        "with logs.logging_to(logs.to_descriptor(1), logs.LogOptions(last_lines_s=0.2)):\n"
        "    for _ in range(5000): logging.getLogger('x').info('y' * 100)\n"
    )
    reading, writing = os.pipe()
    with subprocess.Popen([sys.executable, "-c", code], stdout=writing) as process:
        assert process.wait(20) == 0
    os.close(reading)
    os.close(writing)


def test_level_and_secrets_may_change_while_it_runs():
    sink, newer = Sink(), "another-horse-battery-staple"
    with logging_to(sink, LogOptions(level="warning"), [Secret(SECRET)]) as handler:
        logging.getLogger("x").info("not told")
        handler.change("info", [Secret(newer)])
        logging.getLogger("x").info("told of %s and %s", newer, SECRET)
    (line,) = sink
    assert "told of **** and ****" in line
