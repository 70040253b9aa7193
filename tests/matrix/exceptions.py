"""Where the matrix does not hold, each with its reason. A test holds that each still is one."""

from collections.abc import Mapping
from itertools import product

CHATS = ("openai.chat", "azure")

# (protocol, provider, ask): the provider refuses what a client of its own form asks, as that goes out as it came.
REFUSED: Mapping[tuple[str, str, str], str] = {
    **dict.fromkeys(
        product((*CHATS, "openai.responses"), ("openai",), ("first", "thoughtful", "all")),
        "a model that does not think takes no word about it",
    ),
    **dict.fromkeys(
        [
            *product(CHATS, ("openai_thinking", "azure"), ("all", "sampled")),
            *product(("openai.responses",), ("openai_thinking", "azure", "responses"), ("all", "sampled")),
        ],
        "a model that thinks takes no temperature",
    ),
    **dict.fromkeys(
        [
            *product(("anthropic.messages",), ("anthropic", "anthropic_adaptive"), ("long",)),
            *product(("google.generate",), ("google", "google_signed"), ("long",)),
        ],
        "a longer answer than the model can give",
    ),
}

IN_STEPS = "with calls whose thinking is gone it thinks by steps, not within a budget"
# (provider, ask), or (protocol, provider, ask): where the losses are others than docs/fidelity.md says of each feature alone, and in which fields.
BESIDE: Mapping[tuple[str, ...], tuple[frozenset[str], str]] = {
    **dict.fromkeys(
        product(("anthropic", "claude_on_bedrock"), ("thoughtful", "all")),
        (frozenset({"thinking"}), "with a budget it does not go on with calls whose thinking is gone"),
    ),
    ("google.generate", "anthropic_adaptive", "thoughtful"): (frozenset({"thinking"}), IN_STEPS),
    ("google.generate", "anthropic_adaptive", "all"): (frozenset({"thinking", "temperature"}), IN_STEPS),
    ("anthropic_adaptive", "all"): (frozenset({"temperature"}), "while it thinks it takes no temperature"),
    **dict.fromkeys(
        product(
            ("anthropic", "anthropic_adaptive", "claude_on_bedrock", "nova", "google", "google_signed"),
            ("long",),
        ),
        (frozenset({"max_tokens"}), "the page asks for an answer that is not too long"),
    ),
}

# (protocol, provider): what an earlier answer sealed does not arrive.
SEALING = (
    *("responses", "anthropic", "anthropic_adaptive", "google", "google_signed"),
    *("claude_on_bedrock", "nova"),
)
PROTOCOLS = (*CHATS, "openai.responses", "anthropic.messages", "google.generate")
UNSEALED: Mapping[tuple[str, str], str] = {
    **dict.fromkeys(
        product(("ollama.chat",), SEALING),
        "Ollama's form has no field that its clients would give back",
    ),
}
