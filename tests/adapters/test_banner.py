from pathlib import Path

import pytest

from adapters.banner import Opening, banner, example


def test_a_banner_says_where_what_and_how():
    text = banner(
        Opening(
            version="1.2.3",
            urls=["http://127.0.0.1:11434"],
            providers={"openai": "healthy", "ollama": "unhealthy"},
            model_count=7,
            model="gpt-4o",
            data_dir=Path("/data"),
            notices=["first", "second"],
        )
    )
    assert text.splitlines() == [
        "Ollama Proxy 1.2.3",
        "  address    http://127.0.0.1:11434",
        "  providers  openai (healthy), ollama (unhealthy)",
        "  models     7",
        "  data       /data",
        "  note       first",
        "  note       second",
        "  try        curl http://127.0.0.1:11434/api/chat"
        ' -d \'{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}\'',
    ]


def test_a_first_key_is_shown_with_what_to_do():
    opening = Opening(
        "1", ["http://0.0.0.0:1"], {}, 0, keys="1, made at the first start", first_key="ollp_a_b"
    )
    lines = banner(opening).splitlines()
    assert "  keys       1, made at the first start" in lines
    assert sum("ollp_a_b" in line for line in lines) == 1
    assert any("keys create --name NAME" in line and "keys revoke first" in line for line in lines)


def test_a_house_with_nothing_in_it():
    text = banner(Opening(version="1", urls=["http://127.0.0.1:1"], providers={}, model_count=0))
    assert "none" in text
    assert "curl" not in text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        pytest.param("http://0.0.0.0:1", "http://127.0.0.1:1/", id="all addresses"),
        pytest.param("http://[::]:1", "http://[::1]:1/", id="all of IPv6"),
        pytest.param("http://10.0.0.1:1", "http://10.0.0.1:1/", id="one address"),
    ],
)
def test_the_example_can_be_pasted(url, shown):
    assert example(url, "m").startswith(f"curl {shown}")
    assert "o'\\''b" in example(url, "o'b")
