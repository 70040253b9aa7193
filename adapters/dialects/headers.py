"""The request headers in which clients of each vendor's say who they are, what they speak and what they want."""

SENT = (
    *("x-api-key", "anthropic-version", "anthropic-beta", "anthropic-dangerous-direct-browser-access"),
    *("api-key", "x-goog-api-key", "x-goog-api-client"),
)
