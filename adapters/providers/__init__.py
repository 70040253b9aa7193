"""One codec a vendor: its requests and replies, as pure functions. What only one vendor knows stays in its files."""

from collections.abc import Mapping

from adapters.providers import ollama, openai
from pipeline.ports import Codec

CODECS: Mapping[str, Codec] = {codec.kind: codec for codec in (openai.CODEC, ollama.CODEC)}
