"""A network of a sandbox's own, from which the public Internet can be reached and no more.

slirp4netns forwards, in user space, what leaves the sandbox's network namespace; inside
it, private, link-local (cloud metadata) and this machine's own addresses have no route,
and a build has no right to change routes. https://github.com/rootless-containers/slirp4netns
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bot.builders.sandbox.account import runs_as_root
from bot.errors import SystemFault

# https://www.iana.org/assignments/iana-ipv4-special-registry
_CLOSED = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
# slirp4netns's own: the gateway, and a name server that asks the machine's.
_GATEWAY = "10.0.2.2"
RESOLV_CONF = b"nameserver 10.0.2.3\noptions edns0\n"
_PATIENCE = 10.0  # seconds
_NS_GET_USERNS = 0xB701


class PublicNetwork:
    """Connects sandboxes. `allowed` are networks that stay reachable though they are private.

    Raises `SystemFault` where a program is missing.
    """

    def __init__(self, allowed: tuple[str, ...] = ()) -> None:
        self._allowed = allowed
        self._slirp = _find("slirp4netns", "slirp4netns")
        self._nsenter = _find("nsenter", "util-linux")
        self._unshare = _find("unshare", "util-linux")
        self._ip = _find("ip", "iproute2")

    @contextlib.contextmanager
    def connected(self, pid: int) -> Iterator[None]:
        """Give the network namespace of a waiting process its way out, while the block runs."""
        ready, tell = os.pipe()
        lives, life = os.pipe()
        with contextlib.ExitStack() as stack:
            owner = _owner_of_network(pid, stack)
            said = os.memfd_create("slirp4netns")
            stack.callback(os.close, said)
            try:
                process = subprocess.Popen(
                    self._forwarder(pid, owner, tell, lives),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    env={},
                    pass_fds=(tell, lives, *owner),
                    start_new_session=True,
                )
            finally:
                os.close(tell)
                os.close(lives)
                stack.callback(os.close, ready)
                stack.callback(os.close, life)
            stack.callback(process.wait)
            stack.callback(process.kill)
            closed, opened = routes(self._allowed, own_addresses())
            # Beside the forwarder's start, and before there is any way out.
            self._set_routes(pid, owner, closed)
            # Ends too when the bot does, since then the other end of `lives` is closed.
            if os.read(ready, 1) != b"1":
                words = os.pread(said, 2000, 0).decode(errors="replace").strip()
                raise SystemFault("sandbox-failed", f"The sandbox gets no network: {words}")
            if opened:
                self._set_routes(pid, owner, opened)
            yield

    def _forwarder(self, pid: int, owner: tuple[int, ...], ready: int, lives: int) -> list[str]:
        argv = [self._slirp, "--configure", "--disable-host-loopback", "--mtu=65520"]
        argv += ["--enable-seccomp"]
        if not owner:
            # Its own sandbox wants to be root, which we are then. What that unmounts would be
            # unmounted for the whole machine where mounts are shared: other programs' network
            # namespaces below /run/netns, first of all.
            # https://man7.org/linux/man-pages/man7/mount_namespaces.7.html
            argv = [self._unshare, "--mount", "--propagation=private", "--", *argv]
            argv += ["--enable-sandbox"]
        argv += [f"--ready-fd={ready}", f"--exit-fd={lives}"]
        argv += [f"--userns-path=/proc/self/fd/{descriptor}" for descriptor in owner]
        return [*argv, "--netns-type=path", f"/proc/{pid}/ns/net", "tap0"]

    def _set_routes(self, pid: int, owner: tuple[int, ...], commands: str) -> None:
        argv = [self._nsenter, f"--net=/proc/{pid}/ns/net"]
        argv += [f"--user=/proc/self/fd/{descriptor}" for descriptor in owner]
        argv += ["--preserve-credentials", self._ip, "-batch", "-"]
        done = subprocess.run(
            argv,
            input=commands,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            pass_fds=owner,
            check=False,
        )
        if done.returncode != 0:
            words = done.stderr.strip()
            raise SystemFault("sandbox-failed", f"The sandbox's network stays open: {words}")


def _owner_of_network(pid: int, stack: contextlib.ExitStack) -> tuple[int, ...]:
    """The user namespace that owns a process's network namespace; empty where that is ours.

    Not the process's own: bubblewrap moves on to another one at some point of its set-up.
    https://man7.org/linux/man-pages/man2/ioctl_ns.2.html
    """
    if runs_as_root():
        return ()
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        owner = fcntl.ioctl(network, _NS_GET_USERNS)
    finally:
        os.close(network)
    stack.callback(os.close, owner)
    return (owner,)


def routes(allowed: tuple[str, ...], own: tuple[str, ...]) -> tuple[str, str]:
    """For `ip -batch`: what is closed, and what is open in spite of it (the narrower wins).

    The latter needs the gateway to be there.
    """
    open_ones = {str(ipaddress.ip_network(network)) for network in allowed}
    closed = [network for network in _CLOSED if network not in open_ones]
    closed += [f"{address}/32" for address in own if f"{address}/32" not in open_ones]
    return (
        "".join(f"route replace unreachable {network}\n" for network in closed),
        "".join(f"route replace {network} via {_GATEWAY}\n" for network in sorted(open_ones)),
    )


def own_addresses(trie: Path = Path("/proc/net/fib_trie")) -> tuple[str, ...]:
    """This machine's IPv4 addresses, but for 127.0.0.0/8."""
    found: dict[str, None] = {}
    address = ""
    for line in trie.read_text().splitlines():
        words = line.split()
        if words[:1] == ["|--"]:
            address = words[1]
        elif words[:3] == ["/32", "host", "LOCAL"] and not address.startswith("127."):
            found[address] = None
    return tuple(found)


def _find(name: str, package: str) -> str:
    path = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    if path is None:
        raise SystemFault("sandbox-missing", f"{name} is not installed.", f"Install {package}.")
    return path
