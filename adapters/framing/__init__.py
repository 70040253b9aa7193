"""Bytes to frames: how a stream of messages is cut, shared by the codecs. What a frame says is theirs to read."""
