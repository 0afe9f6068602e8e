"""Runs a command in a network namespace that has loopback and no route: whatever reaches out fails.

    python scripts/offline.py COMMAND [ARGUMENT ...]

Linux, and a kernel that lets this user make namespaces. Ends with code 125 where it cannot.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
CANNOT = 125


def leave_the_network() -> None:
    """Move this process into a namespace of its own, as the same user, with loopback up. Raises OSError."""
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        leave_the_network()
    except OSError as error:
        print(f"no network namespace can be made here: {error.strerror}", file=sys.stderr)
        sys.exit(CANNOT)
    interfaces = sorted(name for _, name in socket.if_nameindex())
    if interfaces != ["lo"]:
        sys.exit(f"there are other interfaces than loopback: {interfaces}")
    os.execvp(sys.argv[1], sys.argv[1:])  # nosec B606  # noqa: S606  that is what it is for


if __name__ == "__main__":
    main()
