"""What is lost has a name, since it is told in a header."""

import pytest

from adapters.providers.losses import Lost
from pipeline.values.messages import Opaque


@pytest.mark.parametrize(
    ("value", "name"),
    [
        pytest.param({"type": "file"}, "file", id="its type"),
        pytest.param({"type": ""}, "type", id="an empty type"),
        pytest.param({"type": 1}, "type", id="a type that is no text"),
        pytest.param({"fileData": {}}, "fileData", id="what it is named there"),
        pytest.param({}, "f", id="nothing but its format"),
    ],
)
def test_a_part_that_is_dropped_is_named(value, name):
    lost = Lost()
    lost.opaque(Opaque("f", value))
    assert [loss.field for loss in lost.losses] == [name]
