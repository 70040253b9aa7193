"""What a request loses on its way into a vendor's form."""

from collections.abc import Container, Mapping
from typing import Any

from attrs import define, field

from pipeline.values.exchange import How, Loss, Losses
from pipeline.values.messages import Opaque

# They steer an engine on the own machine, or are ignored by it as well; and what may be cached changes no answer.
MOOT = frozenset(
    {
        "num_ctx",
        "num_batch",
        "num_gpu",
        "main_gpu",
        "use_mmap",
        "num_thread",
        "num_keep",
        "draft_num_predict",
        "keep_alive",
        "truncate",
        "shift",
        "numa",
        "low_vram",
        "f16_kv",
        "vocab_only",
        "use_mlock",
        "logits_all",
        "embedding_only",
        "num_gqa",
        "mirostat",
        "mirostat_eta",
        "mirostat_tau",
        "tfs_z",
        "penalize_newline",
        "cache_control",
    }
)


@define
class Lost:
    """Gathers losses while one request is encoded: each field once, the first word about it holds."""

    _found: dict[str, How] = field(factory=dict, init=False)

    def add(self, name: str, how: How = How.DROPPED) -> None:
        """`name` is lost in this way."""
        self._found.setdefault(name, how)

    def drop(self, **values: Any) -> None:
        """Each of these that is set is dropped; None, False and empty are not set."""
        for name, value in values.items():
            if value is not None and value is not False and value != ():
                self.add(name)

    def opaque(self, part: Opaque) -> None:
        """A part that only another format can carry is dropped; it is told by its own type, or by what it is named there."""
        kind = part.value.get("type")
        self.add(kind if isinstance(kind, str) and kind else next(iter(part.value), part.format))

    def extras(self, extra: Mapping[str, Any], spoken: str, told: Container[str] = ()) -> None:
        """All that `extra` holds for formats other than those of the vendor, whose names begin with `spoken`.

        `told`: what the vendor is told by other means.
        """
        for format, fields in extra.items():
            if format.startswith(spoken):
                continue
            for name, value in fields.items():
                if name == "options" and isinstance(value, Mapping):
                    for option in value:
                        self.add(option, How.MOOT if option in MOOT else How.DROPPED)
                elif name != "stream_options" and name not in told:
                    # Whether usage is told in the stream is between the client and its dialect.
                    self.add(name, How.MOOT if name in MOOT else How.DROPPED)

    @property
    def losses(self) -> Losses:
        """All that was found, in the order of finding."""
        return tuple(Loss(name, how) for name, how in self._found.items())
