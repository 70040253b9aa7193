"""What is different between two configurations, and what has to wait for a restart."""

import pytest

from adapters.providers import CODECS
from pipeline.config import Sources, resolve
from pipeline.config.changes import changes, same, settled
from stages import CATALOG


def config(toml="", **environ):
    return resolve(Sources(toml=toml, environ=environ), catalog=CATALOG, kinds=CODECS)


LONG = "sk-0123456789abcdefghijklmnop"
OPENAI = '[providers.openai]\napi_key = "{}"\n'


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param("", "", (), id="nothing"),
        pytest.param("", "# a word\n", (), id="a comment"),
        pytest.param("", "[server]\nport = 11434\n", (), id="a default that is written down"),
        pytest.param(
            "", '[server]\nlog_level = "debug"\n', ("server.log_level",), id="a setting of the server"
        ),
        pytest.param(
            "",
            "[stage.limit]\nmax_concurrent = 7\nqueue_size = 8\n",
            ("stage.limit.max_concurrent", "stage.limit.queue_size"),
            id="two options of a stage",
        ),
        pytest.param(
            "",
            '[pipeline]\nstages = ["route", "call", "record"]\n',
            ("pipeline.stages",),
            id="the order of the stages",
        ),
        pytest.param(
            "",
            '[pipeline.embed]\nstages = ["route", "call"]\n',
            ("pipeline.embed.stages",),
            id="a list of its own for an operation",
        ),
        pytest.param(
            "demo = true\n",
            "demo = true\n" + OPENAI.format(LONG),
            ("providers.openai",),
            id="a provider more, told as one",
        ),
        pytest.param(
            "demo = true\n" + OPENAI.format(LONG),
            "demo = true\n",
            ("providers.openai",),
            id="a provider less",
        ),
        pytest.param(
            OPENAI.format(LONG),
            OPENAI.format(LONG) + "max_concurrent_requests = 3\n",
            ("providers.openai.max_concurrent_requests",),
            id="the limit of a provider",
        ),
        pytest.param(
            OPENAI.format(LONG),
            OPENAI.format("sk-another-0123456789-mnop"),
            ("providers.openai.api_key",),
            id="a key that ends as the old one did",
        ),
        pytest.param(
            OPENAI.format(LONG) + 'proxy = "http://u:one@p.test:1"\n',
            OPENAI.format(LONG) + 'proxy = "http://u:two@p.test:1"\n',
            ("providers.openai.proxy",),
            id="the password of the way out",
        ),
        pytest.param(
            "",
            "[models.a]\ncontext_length = 5\n",
            ("models.a",),
            id="a rule more",
        ),
        pytest.param(
            "[models.a]\ncontext_length = 5\n",
            "[models.a]\ncontext_length = 6\n",
            ("models.a.context_length",),
            id="another rule",
        ),
    ],
)
def test_what_is_told_to_be_different(before, after, told):
    one, other = config(before), config(after)
    assert changes(one, other) == told
    assert same(one, other) is (not told)
    assert changes(other, one) == told
    assert LONG not in str(changes(one, other))


RESTART = """
[server]
host = "127.0.0.2"
port = 5000
workers = 2
data_dir = "elsewhere"
environment = "production"
certfile = "c.pem"
log_level = "debug"
[keys]
file = "k.toml"
open_network = true
"""


def test_what_only_a_start_can_change_stays_and_is_told():
    begun = config()
    found = settled(config(RESTART), begun)
    assert found.needs_restart == (
        *("server.host", "server.port", "server.workers", "server.certfile", "server.data_dir"),
        *("server.environment", "keys.file"),
    )
    assert found.config.server.port == begun.server.port
    assert found.config.keys.file == ""
    assert (found.config.server.log_level, found.config.keys.open_network) == ("debug", True)


def test_what_was_begun_with_needs_no_restart():
    assert settled(config(RESTART), config(RESTART)).needs_restart == ()
