"""What is shown when the house is open: where it is, what is behind it, and a line to try."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen


@frozen
class Opening:
    """`providers`: each with its condition. `model`: one to try, None: there is none. `notices`: what must be known.

    `keys`: who needs one. `first_key`: the one that was just made, which is shown this once.
    """

    version: str
    urls: Sequence[str]
    providers: Mapping[str, str]
    model_count: int
    model: str | None = None
    data_dir: Path | None = None
    notices: Sequence[str] = ()
    keys: str = ""
    first_key: str | None = None


def banner(opening: Opening) -> str:
    """The text, without a line end at its end."""
    shown = ", ".join(f"{name} ({state})" for name, state in opening.providers.items()) or "none"
    rows = [
        ("address", "  ".join(opening.urls)),
        ("providers", shown),
        ("models", str(opening.model_count)),
    ]
    if opening.data_dir is not None:
        rows.append(("data", str(opening.data_dir)))
    if opening.keys:
        rows.append(("keys", opening.keys))
    if opening.first_key is not None:
        rows.append(("key", f"{opening.first_key}   the first one, shown this once: it may do everything"))
        rows.append(
            ("", "Clients on other machines send it as their API key. Make one for each of them with")
        )
        rows.append(("", "python app.py keys create --name NAME, then: python app.py keys revoke first"))
    rows.extend(("note", notice) for notice in opening.notices)
    if opening.model is not None and opening.urls:
        rows.append(("try", example(opening.urls[0], opening.model)))
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {text}" for name, text in rows]
    return "\n".join((f"Ollama Proxy {opening.version}", *lines))


def example(url: str, model: str) -> str:
    """A command that asks `model` something."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    text = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return f"curl {reachable(url)}/api/chat -d '{text}'"


def reachable(url: str) -> str:
    """`url` as a client on this machine writes it: nobody can connect to "all addresses"."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
