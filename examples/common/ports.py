# SPDX-License-Identifier: Apache-2.0
"""Ports on 127.0.0.1 for programs that start soon, and that may end and come back on the same port.

A process takes ports from blocks of its own, so that two processes that look at the same time, or one that
looks while the other's program is away, do not find the same. A name in the abstract namespace of sockets
says whose a block is; the kernel takes it back when the process ends. All blocks are below the kernel's
range for outgoing connections."""
import os
import socket

FIRST, BLOCK, BLOCKS = 10000, 100, 225
MOST = 6       # blocks of one process, which then begins anew with its first one
_owned = []    # (the socket that says so, its first port)
_position = 0  # in what is owned


def bindable(candidate):
    """Whether programs can listen there now, by TCP and UDP."""
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            stream.bind(("127.0.0.1", candidate))
            datagrams.bind(("127.0.0.1", candidate))
            return True
        except OSError:
            return False


def own_one_more():
    """False when there are enough, or all have an owner."""
    for i in range(BLOCKS if len(_owned) < MOST else 0):
        number = (os.getpid() + i) % BLOCKS
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind("\0sonde-ports-%d" % number)
            _owned.append((claim, FIRST + number * BLOCK))
            return True
        except OSError:
            claim.close()
    return False


def free_port():
    """A port that nobody listens on. It is not given again soon, and to no other process."""
    global _position
    for _ in range((MOST + 1) * BLOCK):
        if _position == len(_owned) * BLOCK and not own_one_more():
            _position = 0
        if not _owned:
            break
        candidate = _owned[_position // BLOCK][1] + _position % BLOCK
        _position += 1
        if bindable(candidate):
            return candidate
    raise OSError("no free port")
