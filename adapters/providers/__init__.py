"""One codec a vendor: its requests and replies, as pure functions. What only one vendor knows stays in its files."""

from collections.abc import Mapping

from adapters.credentials import Source
from adapters.providers import (
    anthropic,
    azure,
    bedrock,
    bedrock_credentials,
    google,
    ollama,
    openai,
    openrouter,
)
from pipeline.ports import Codec

CODECS: Mapping[str, Codec] = {
    codec.kind: codec
    for codec in (
        openai.CODEC,
        ollama.CODEC,
        anthropic.CODEC,
        openrouter.CODEC,
        azure.CODEC,
        google.CODEC,
        bedrock.CODEC,
    )
}

# Where a kind's credential is more than a key in the configuration.
CREDENTIALS: Mapping[str, Source] = {"aws_bedrock": bedrock_credentials.credential}
