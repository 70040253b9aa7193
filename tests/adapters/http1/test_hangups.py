"""Who is told of which peer that hangs up."""

import socket
import struct

import pytest
import trio

from adapters.http1.hangups import HangUps


def half(sock):
    sock.shutdown(socket.SHUT_WR)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def connected():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    ours.setblocking(False)
    return ours, theirs


@pytest.mark.parametrize("unread", [0, 1, 100_000], ids=["nothing unread", "a byte", "more than one read"])
@pytest.mark.parametrize("leave", [socket.socket.close, half, reset], ids=["FIN", "half-close", "RST"])
async def test_a_peer_that_hangs_up_is_told_once(nursery, leave, unread):
    hangups, told = HangUps(), []
    nursery.start_soon(hangups.run)
    (ours, theirs), (other, stays) = connected(), connected()
    hangups.watch(ours, lambda: told.append("left"))
    hangups.watch(other, lambda: told.append("the wrong one"))
    theirs.sendall(b"x" * unread)
    await trio.sleep(0.05)
    assert told == []
    leave(theirs)
    with trio.fail_after(1):
        while not told:
            await trio.sleep(0.001)
    theirs.close()
    await trio.sleep(0.05)
    assert told == ["left"]
    for sock in (ours, other, stays):
        sock.close()


async def test_of_a_socket_that_was_forgotten_nobody_is_told(nursery):
    hangups, told = HangUps(), []
    nursery.start_soon(hangups.run)
    ours, theirs = connected()
    hangups.watch(ours, lambda: told.append("left"))
    hangups.forget(ours)
    theirs.close()
    await trio.sleep(0.05)
    ours.close()
    assert told == []


async def test_a_number_that_is_used_again_is_another_socket(nursery):
    hangups, told = HangUps(), []
    nursery.start_soon(hangups.run)
    for name in ("first", "second"):
        ours, theirs = connected()
        hangups.watch(ours, lambda name=name: told.append(name))
        theirs.close()
        await trio.sleep(0.05)
        hangups.forget(ours)
        ours.close()
    assert told == ["first", "second"]
