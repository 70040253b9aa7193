"""Replies whose endpoint is told by their first document: /chat/completions and /completions, or /responses.

Which of them was asked hangs on the name a target has at its provider, which the reply does not know; and servers may
answer in another form than they were asked in.
"""

from attrs import define

from adapters.providers.openai_reply import ChatAnswer
from adapters.providers.openai_responses_reply import RESPONSES, ResponseAnswer, is_response
from adapters.providers.replies import Answer


@define
class AnyAnswer(ChatAnswer):
    """One reply, taken for one of a chat until its first document shows it to be another."""

    def met(self, data: bytes) -> Answer:
        """See `Answer`."""
        return ResponseAnswer(RESPONSES, self.model) if is_response(data) else self
