"""Names: the filter of models."""

import pytest

from pipeline.names import permits


@pytest.mark.parametrize(
    ("patterns", "names", "allowed"),
    [
        pytest.param((), ["x"], True, id="no filter lets all through"),
        pytest.param(("a",), ["a"], True, id="a name"),
        pytest.param(("a",), ["b"], False, id="what is not named is out"),
        pytest.param(("a",), ["A:latest"], True, id="case and :latest do not matter"),
        pytest.param(("a:latest",), ["a"], True, id="nor do they in the pattern"),
        pytest.param(("gpt-*",), ["gpt-4o"], True, id="a pattern"),
        pytest.param(("gpt-*",), ["my-gpt-4o"], False, id="a pattern is for the whole name"),
        pytest.param(("*mini*",), ["gpt-4o-mini"], True, id="a star may stand for nothing"),
        pytest.param(("g?t[4]",), ["gpt4"], False, id="only the star is special"),
        pytest.param(("!a",), ["b"], True, id="only exclusions: the rest is in"),
        pytest.param(("!a",), ["a"], False, id="an exclusion"),
        pytest.param(("gpt-*", "!gpt-3*"), ["gpt-3.5"], False, id="the last line that matches decides: out"),
        pytest.param(("!gpt-3*", "gpt-*"), ["gpt-3.5"], True, id="the last line that matches decides: in"),
        pytest.param(("openai/*",), ["gpt-4o", "openai/gpt-4o"], True, id="any of its names"),
    ],
)
def test_the_filter(patterns, names, allowed):
    assert permits(patterns)(*names) is allowed
