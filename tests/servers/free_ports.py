"""Find free ports of 127.0.0.1 for servers that cannot say which port the kernel gave them.

    free_ports.py HOW_MANY

They are below the range from which the kernel takes the ports of connections: between the search and the start of a
slow server, a connection of another program could otherwise take the port.
"""

from __future__ import annotations

import secrets
import socket
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

FIRST = 10_000


def find_ports(count: int) -> list[int]:
    """Return different ports on which nothing listens."""
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    with ExitStack() as stack:
        while len(found) < count:
            port = FIRST + secrets.randbelow(end - FIRST)
            with suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
                found.append(port)
    return found


if __name__ == "__main__":
    print(*find_ports(int(sys.argv[1])))
