"""HTTP/1.1 on trio and httptools, for the data path alone: a server of one connection, and a client pool a provider.

Sockets are non-blocking and trio is asked only when one must wait: a send that fits the kernel's buffer costs no turn of
the scheduler. No task, channel, lock or cancel scope a chunk.
"""
