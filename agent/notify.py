"""What systemd is told of this process: the datagrams of sd_notify(3), silent without systemd.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What systemd says to us through the environment."""
VALUE_CHARS_MAX: Final = 1_000
US_PER_S: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Notifier:
    """Tells the service manager. A message that cannot be delivered is dropped.

    Attributes:
        address: its socket, a path or "@" and an abstract name; "" = there is none.
        watchdog_s: how long `WATCHDOG=1` may stay out before it ends us; None = for ever.
    """

    address: str = ""
    watchdog_s: float | None = None

    @classmethod
    def of(cls, variables: Mapping[str, str], pid: int) -> Self:
        """From the environment. A watchdog that is meant for another process is not ours."""
        limit_us = variables.get("WATCHDOG_USEC", "")
        ours = variables.get("WATCHDOG_PID", str(pid)) == str(pid)
        watched = ours and limit_us.isascii() and limit_us.isdecimal() and int(limit_us) > 0
        address = variables.get("NOTIFY_SOCKET", "")
        return cls(
            address if address[:1] in {"/", "@"} else "",
            int(limit_us) / US_PER_S if watched else None,
        )

    def tell(self, **state: str | int) -> None:
        """Send variables such as READY, STATUS and WATCHDOG in one message, at once or never."""
        if not self.address:
            return
        message = "\n".join(f"{name}={_one_line(str(value))}" for name, value in state.items())
        # An abstract name begins with NUL on the wire: unix(7).
        address = f"\0{self.address[1:]}" if self.address[0] == "@" else self.address
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with suppress(OSError), socket.socket(socket.AF_UNIX, kind) as sender:
            sender.sendto(message.encode("utf-8", "replace"), address)


def _one_line(text: str) -> str:
    return "; ".join(text.splitlines())[:VALUE_CHARS_MAX]
