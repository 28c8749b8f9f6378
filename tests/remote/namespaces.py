"""Two hosts on one machine: network namespaces joined by a veth cable, as far as the machine allows them."""

from __future__ import annotations

import os
import shutil
import subprocess
from itertools import count

HUB, WORKER = "10.211.99.1", "10.211.99.2"
_numbers = count()


def why_not() -> str:
    """Return why there can be no such hosts here; empty if there can."""
    for program in ("ip", "tc"):
        if shutil.which(program) is None:
            return f"no program {program!r} (Debian: iproute2)"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    try:
        with Hosts():
            return ""
    except subprocess.CalledProcessError as error:
        return f"this machine allows no network namespaces: {error.stderr.strip()}"


def run(*command: str) -> str:
    """Run a command that must succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Hosts:
    """Host A, where the hub is to listen at `HUB`, and host B, at `WORKER`; a cable between them."""

    def __init__(self) -> None:
        number = f"{os.getpid()}-{next(_numbers)}"
        self.a, self.b = f"opla-{number}", f"oplb-{number}"

    def __enter__(self) -> Hosts:  # noqa: PYI034 - typing.Self is newer than our oldest Python
        try:
            for host in (self.a, self.b):
                run("ip", "netns", "add", host)
            self.on(self.a, "ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", self.b)
            for host, address in ((self.a, HUB), (self.b, WORKER)):
                self.on(host, "ip", "address", "add", f"{address}/24", "dev", "cable")
                self.on(host, "ip", "link", "set", "lo", "up")
                self.on(host, "ip", "link", "set", "cable", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for host in (self.a, self.b):
            subprocess.run(["ip", "netns", "delete", host], check=False, capture_output=True)

    def on(self, host: str, *command: str) -> str:
        """Run a command on a host."""
        return run("ip", "netns", "exec", host, *command)

    # -- what befalls the network -------------------------------------------------------------------------------------

    def pull_the_cable(self) -> None:
        """Nothing passes, and nobody is told."""
        self.on(self.b, "ip", "link", "set", "cable", "down")

    def plug_it_in(self) -> None:
        """All passes again."""
        self.on(self.b, "ip", "link", "set", "cable", "up")

    def lose_what_the_worker_sends(self) -> None:
        """One way only: host B hears, and is not heard."""
        self.on(self.b, "ip", "route", "add", "blackhole", f"{HUB}/32")

    def lose_nothing(self) -> None:
        """Both ways again."""
        self.on(self.b, "ip", "route", "delete", "blackhole", f"{HUB}/32")

    def slow_down(self, rate: str) -> None:
        """Let the cable carry so much each way, such as ``10mbit``."""
        for host in (self.a, self.b):
            self.on(
                host, "tc", "qdisc", "add", "dev", "cable", "root",
                "tbf", "rate", rate, "burst", "32kbit", "latency", "400ms",
            )  # fmt: skip
