"""Far ends of telephone calls for a bench: many RTP senders in one process, which costs little beside what is measured.

Run as `python -m bench.rtp_load COUNT`. It binds a socket for each call and prints their ports as JSON; then it reads a line of
JSON, `{"targets": [port, ...], "keys": [hex, ...] or null}`, and sends PCMU every 20 ms until its input ends. What comes is not read.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from typing import Any

HOST = "127.0.0.1"
TICK = 0.02
_HEADER = struct.Struct("!BBHII")


def _protectors(keys: list[str] | None, count: int) -> list[Any]:
    if keys is None:
        return [None] * count
    from antiphon.rtp.srtp import SUITES, SrtpContext, SrtpKey

    return [SrtpContext(SrtpKey(SUITES[0], bytes.fromhex(key)), inbound=False) for key in keys]


def main() -> None:
    count = int(sys.argv[1])
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for one in sockets:
        one.bind((HOST, 0))
    print(json.dumps([one.getsockname()[1] for one in sockets]), flush=True)
    wanted = json.loads(sys.stdin.readline())
    protectors = _protectors(wanted["keys"], count)
    targets = [(HOST, port) for port in wanted["targets"]]
    payload = bytes(range(64, 224))
    due = time.monotonic()
    sequence = 0
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        for number, one in enumerate(sockets):
            packet = (
                _HEADER.pack(0x80, 0, sequence & 0xFFFF, 160 * sequence & 0xFFFFFFFF, number + 1) + payload
            )
            if protectors[number] is not None:
                packet = protectors[number].protect(packet)
            one.sendto(packet, targets[number])
        sequence += 1
        due += TICK


if __name__ == "__main__":
    main()
