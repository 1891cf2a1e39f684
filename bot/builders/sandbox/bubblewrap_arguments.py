"""A command as bubblewrap is told it: pure, so that tests can compare it by equality.

The options are documented in bwrap(1); they travel by a file descriptor (`--args`),
where no other user of the machine can read them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from bot.builders.sandbox.account import BUILD_GID, BUILD_UID
from bot.builders.sandbox.placed import inside, placed
from bot.builders.sandbox.runner import Command

HOME = "/tmp/home"  # noqa: S108 (inside the sandbox, where /tmp is private)
DEFAULT_ENVIRONMENT: Mapping[str, str] = {
    "HOME": HOME,
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TMPDIR": "/tmp",  # noqa: S108
}
PASSWD = f"build:x:{BUILD_UID}:{BUILD_GID}:build:{HOME}:/bin/sh\n".encode()
GROUP = f"build:x:{BUILD_GID}:\n".encode()

ROOT_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/fonts",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/pki",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl",
)
RESOLVER = "/etc/resolv.conf"
_LARGEST_COPY = 256 << 10  # bytes
# These lie among the system's files and may hold the operator's registry passwords.
# What a build may know of them it gets as a copy (see bot.builders.registries).
HIDDEN_FILES = ("/usr/etc/npmrc", "/usr/local/etc/npmrc")
# Where the parts of overlays lie that bubblewrap itself cannot mount; closed to the build.
_OVERLAYS = "/run/overlays"
_MOUNT = f"{_OVERLAYS}/mount"
# What the dynamic loader, the C library, mount and the shell obey: kept from the programs
# that still have root's rights. Most are from glibc's sysdeps/generic/unsecvars.h; PATH
# is not among them, for those programs are named by their full paths.
_STEERING = frozenset(
    {"GCONV_PATH", "GETCONF_DIR", "GLIBC_TUNABLES", "HOSTALIASES", "LOCALDOMAIN", "LOCPATH"}
    | {"NIS_PATH", "NLSPATH", "RESOLV_HOST_CONF", "RES_OPTIONS", "TZDIR"}
    | {"ENV", "IFS", "PS4", "SHELLOPTS"}
)
_STEERING_PREFIXES = ("BASH", "LD_", "LIBMOUNT_", "MALLOC_")


def options(
    command: Command,
    *,
    privileged: bool,
    tmp_size: int,
    passwd: int,
    group: int,
    empty: tuple[int, ...],
    mount: int | None = None,
    resolver: int | None = None,
    hidden: tuple[Path, ...] = (),
    copies: Mapping[str, int] | None = None,
) -> tuple[str, ...]:
    """Everything but the program. `passwd`, `group` and `empty` are descriptors to read
    from; the empty ones are as many as `HIDDEN_FILES`.

    `mount` is one for the program that mounts overlays, where bubblewrap cannot.
    `resolver` is one for the /etc/resolv.conf of a network of the sandbox's own; without
    it the machine's network is shared, if the command has any.
    `privileged`: bubblewrap is started by root and makes no user namespace.
    `hidden`: folders of ours, not to be seen even where they lie in /usr.
    `copies`: descriptors of the system's files that are copied in, by path.
    """
    return (
        *_namespaces(privileged, shares_network=command.network and resolver is None),
        "--die-with-parent",
        "--new-session",
        *_system(resolver, privileged=privileged, copies=copies or {}),
        *("--perms", "1777", "--size", str(tmp_size), "--tmpfs", "/tmp"),  # noqa: S108
        *("--proc", "/proc", "--dev", "/dev"),
        *_file(passwd, "/etc/passwd", privileged=privileged),
        *_file(group, "/etc/group", privileged=privileged),
        *_hidden(hidden, empty),
        *_binds(command),
        *_overlays(command, mount),
        *("--perms", "0777", "--dir", HOME),
        *("--chdir", str(placed(command).folder)),
        "--clearenv",
        *_environment(environment_of(command), safe_only=privileged),
    )


def program(
    command: Command, *, setpriv: str | None, env: str, mounts: bool = False
) -> tuple[str, ...]:
    """What bubblewrap starts: the command, under the build account where we are root.

    `mounts`: overlays are mounted first, by a program of ours.
    """
    argv = placed(command).argv
    if setpriv is None:
        return argv
    targets = (str(inside(command, overlay.target)) for overlay in command.overlays)
    mount = ("/bin/sh", _MOUNT, *targets, "--") if mounts and command.overlays else ()
    drop = (
        *(setpriv, f"--reuid={BUILD_UID}", f"--regid={BUILD_GID}", "--clear-groups"),
        *("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"),
    )
    late = tuple(f"{k}={v}" for k, v in environment_of(command).items() if steers(k))
    return (*mount, *drop, *((env, *late) if late else ()), *argv)


def environment_of(command: Command) -> dict[str, str]:
    return {**DEFAULT_ENVIRONMENT, **placed(command).environment}


def _namespaces(privileged: bool, *, shares_network: bool) -> tuple[str, ...]:
    if privileged:
        shared = ("--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try")
        return shared if shares_network else (*shared, "--unshare-net")
    account = ("--uid", str(BUILD_UID), "--gid", str(BUILD_GID))
    network = ("--share-net",) if shares_network else ()
    return ("--unshare-all", *network, *account)


def copied_files() -> dict[str, bytes]:
    """The small files among the system's, with their contents. A copy takes a fifth of the time
    of a mount, for which bubblewrap reads the list of all mounts again."""
    found = {}
    for path in (*SYSTEM_FILES, RESOLVER):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                size = os.fstat(descriptor).st_size
                if size <= _LARGEST_COPY:
                    found[path] = os.read(descriptor, size + 1)
            finally:
                os.close(descriptor)
    return found


def _file(descriptor: int, path: str, *, privileged: bool) -> Iterable[str]:
    """A file with what is in a descriptor. Whoever is root inside may write to a copy: there it
    is mounted read-only."""
    option = "--file" if privileged else "--ro-bind-data"
    return ("--perms", "0644", option, str(descriptor), path)


def _system(resolver: int | None, *, privileged: bool, copies: Mapping[str, int]) -> Iterable[str]:
    yield from ("--ro-bind", "/usr", "/usr")
    for path in ROOT_LINKS:
        if os.path.islink(path):
            yield from ("--symlink", os.readlink(path), path)
        elif os.path.isdir(path):
            yield from ("--ro-bind", path, path)
    yield from ("--perms", "0755", "--dir", "/etc")
    given = dict(copies) if resolver is None else {**copies, RESOLVER: resolver}
    for path in (*SYSTEM_FILES, RESOLVER):
        if path in given:
            yield from _file(given[path], path, privileged=privileged)
        else:
            yield from ("--ro-bind-try", path, path)


def _hidden(folders: tuple[Path, ...], empty: tuple[int, ...]) -> Iterable[str]:
    for path, descriptor in zip(HIDDEN_FILES, empty, strict=True):
        if os.path.isfile(path):
            yield from ("--perms", "0644", "--ro-bind-data", str(descriptor), path)
    for folder in folders:
        if folder.is_relative_to("/usr") and folder.is_dir():
            yield from ("--tmpfs", str(folder))


def _binds(command: Command) -> Iterable[str]:
    """Parents before what lies in them, so that the inner one counts."""
    wanted = dict.fromkeys(command.readable, "--ro-bind")
    wanted |= dict.fromkeys(command.writable, "--bind")
    there = {Path("/"), Path("/etc"), Path("/tmp"), Path("/usr")}  # noqa: S108
    places = [(inside(command, path), path, option) for path, option in wanted.items()]
    for target, path, option in sorted(places, key=lambda place: len(place[0].parts)):
        # Bubblewrap would make missing parents for itself alone (mode 0700).
        for parent in reversed(target.parents):
            if parent not in there and Path("/usr") not in parent.parents:
                there.add(parent)
                yield from ("--perms", "0755", "--dir", str(parent))
        there.add(target)
        yield from (option, str(path), str(target))


def _overlays(command: Command, mount: int | None) -> Iterable[str]:
    if not command.overlays:
        return
    if mount is None:
        for overlay in command.overlays:
            yield from ("--overlay-src", str(overlay.source))
            yield from ("--overlay", f"{overlay.changes}/upper", f"{overlay.changes}/work")
            yield str(inside(command, overlay.target))
        return
    yield from ("--perms", "0755", "--dir", "/run", "--perms", "0700", "--dir", _OVERLAYS)
    yield from ("--ro-bind-data", str(mount), _MOUNT)
    for number, overlay in enumerate(command.overlays):
        yield from ("--ro-bind", str(overlay.source), f"{_OVERLAYS}/{number}/source")
        yield from ("--bind", str(overlay.changes), f"{_OVERLAYS}/{number}/changes")


def _environment(variables: Mapping[str, str], *, safe_only: bool) -> Iterable[str]:
    for name, value in variables.items():
        if not (safe_only and steers(name)):
            yield from ("--setenv", name, value)


def steers(name: str) -> bool:
    return name.startswith(_STEERING_PREFIXES) or name in _STEERING
