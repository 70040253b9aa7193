"""Words that stand where a vendor wants a turn or a result, and the client has none."""

from adapters.providers.losses import Lost
from pipeline.values.exchange import How
from pipeline.values.messages import ToolResult

BEGINNING = "(The conversation begins.)"
CONTINUE = "Please continue."
NO_RESULT = "The tool gave no result."


# The field of a result that says so.
FAILED = "messages.tool_results.is_error"


def failure(result: str) -> str:
    """What a tool said when it failed, in words that say that it did."""
    return result if "error" in result[:32].lower() else f"Error: {result}".rstrip()


def failed_words(result: ToolResult, lost: Lost) -> str:
    """What a tool said, where nothing but words can say that it failed."""
    if not result.failed:
        return result.text
    lost.add(FAILED, How.EMULATED)
    return failure(result.text)


def retold(result: str) -> str:
    """What a tool said of a call that nobody knows, as words of the user; never nothing."""
    return f"Result of a tool: {result or 'nothing'}"
