"""Words that stand where a vendor wants a turn or a result, and the client has none."""

BEGINNING = "(The conversation begins.)"
CONTINUE = "Please continue."
NO_RESULT = "The tool gave no result."


def retold(result: str) -> str:
    """What a tool said of a call that nobody knows, as words of the user; never nothing."""
    return f"Result of a tool: {result or 'nothing'}"
