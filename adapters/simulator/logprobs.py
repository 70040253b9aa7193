"""Made-up probabilities of tokens, in the entry form that OpenAI and Ollama share."""

from typing import Any

LOGPROB = -0.105360515  # the logarithm of 0.9


def token_entry(text: str, alternatives: int) -> dict[str, Any]:
    """One token with its probability, and as many alternatives to it as were asked for."""
    entry = {"token": text, "logprob": LOGPROB, "bytes": list(text.encode())}
    others = [{**entry, "logprob": LOGPROB * (place + 1)} for place in range(alternatives)]
    return {**entry, "top_logprobs": others}
