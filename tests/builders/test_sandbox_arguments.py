"""What bubblewrap is told, as data."""

from __future__ import annotations

from pathlib import Path

from bot.builders.sandbox import bubblewrap_arguments
from bot.builders.sandbox.runner import Command, Overlay

OVERLAY = Overlay(source=Path("/kept"), target=Path("/b/lib"), changes=Path("/changes/0"))


def command(**given: object) -> Command:
    return Command(**{"argv": ("npm", "ci"), "folder": Path("/b")} | given)  # type: ignore[arg-type]


def options(asked: Command, **given: object) -> tuple[str, ...]:
    defaults = {"privileged": True, "tmp_size": 100, "passwd": 3, "group": 4, "empty": (5, 6)}
    return bubblewrap_arguments.options(asked, **defaults | given)  # type: ignore[arg-type]


def pairs(words: tuple[str, ...], option: str) -> list[tuple[str, str]]:
    return [(words[i + 1], words[i + 2]) for i, word in enumerate(words) if word == option]


def test_root_makes_no_user_namespace_and_others_do() -> None:
    assert options(command())[:5] == (
        *("--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"),
        "--unshare-net",
    )
    assert options(command(), privileged=False)[:5] == (
        *("--unshare-all", "--uid", "65533", "--gid", "65533"),
    )


def test_the_network_is_shared_only_where_it_is_asked_for() -> None:
    assert "--unshare-net" not in options(command(network=True))
    assert "--share-net" in options(command(network=True), privileged=False)
    assert "--share-net" not in options(command(), privileged=False)


def test_inner_folders_are_mounted_after_outer_ones() -> None:
    asked = command(writable=(Path("/data/b/tree/x"), Path("/data/b")), readable=(Path("/opt/n"),))
    words = options(asked)
    assert pairs(words, "--bind") == [("/data/b", "/data/b"), ("/data/b/tree/x",) * 2]
    assert words.index("/data/b") < words.index("/data/b/tree/x")
    assert ("/opt/n", "/opt/n") in pairs(words, "--ro-bind")


def test_a_builds_folder_is_shown_at_one_path_in_every_build() -> None:
    root = Path("/data/work/bld_1.abcd")
    asked = command(
        argv=(f"{root}/tree/run", "--out", "dist"),
        folder=root / "tree" / "web",
        environment={"PATH": f"{root}/tree/bin:/usr/bin", "OTHER": "/data/work"},
        writable=(root / "tree", Path("/data/cache")),
        overlays=(Overlay(source=Path("/kept"), target=root / "tree/lib", changes=root / "c"),),
        root=root,
    )
    words = options(asked)
    assert pairs(words, "--bind") == [
        (f"{root}/tree", "/workspace/tree"),
        ("/data/cache", "/data/cache"),
    ]
    assert words[words.index("--chdir") + 1] == "/workspace/tree/web"
    assert ("PATH", "/workspace/tree/bin:/usr/bin") in pairs(words, "--setenv")
    assert ("OTHER", "/data/work") in pairs(words, "--setenv")
    place = words.index("--overlay")
    assert words[place + 1 : place + 4] == (
        *(f"{root}/c/upper", f"{root}/c/work", "/workspace/tree/lib"),
    )
    started = bubblewrap_arguments.program(asked, setpriv="/s", env="/e", mounts=True)
    assert started[:4] == ("/bin/sh", "/run/overlays/mount", "/workspace/tree/lib", "--")
    assert started[-3:] == ("/workspace/tree/run", "--out", "dist")


def test_variables_that_steer_the_loader_reach_the_command_alone() -> None:
    asked = command(environment={"LD_PRELOAD": "/evil.so", "MODE": "production"})
    assert ("LD_PRELOAD", "/evil.so") not in pairs(options(asked), "--setenv")
    assert ("MODE", "production") in pairs(options(asked), "--setenv")
    assert bubblewrap_arguments.program(asked, setpriv="/bin/setpriv", env="/bin/env") == (
        *("/bin/setpriv", "--reuid=65533", "--regid=65533", "--clear-groups"),
        *("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"),
        *("/bin/env", "LD_PRELOAD=/evil.so", "npm", "ci"),
    )


def test_without_root_the_command_is_started_as_it_is() -> None:
    asked = command(environment={"LD_PRELOAD": "/own.so"})
    assert bubblewrap_arguments.program(asked, setpriv=None, env="/bin/env") == ("npm", "ci")
    assert ("LD_PRELOAD", "/own.so") in pairs(options(asked, privileged=False), "--setenv")


def test_a_bubblewrap_that_knows_overlays_mounts_them() -> None:
    words = options(command(overlays=(OVERLAY,)))
    start = words.index("--overlay-src")
    assert words[start : start + 6] == (
        *("--overlay-src", "/kept", "--overlay", "/changes/0/upper", "/changes/0/work", "/b/lib"),
    )


def test_for_one_that_does_not_a_program_of_ours_mounts_them() -> None:
    asked = command(overlays=(OVERLAY,))
    words = options(asked, mount=9)
    assert ("/kept", "/run/overlays/0/source") in pairs(words, "--ro-bind")
    assert ("/changes/0", "/run/overlays/0/changes") in pairs(words, "--bind")
    started = bubblewrap_arguments.program(asked, setpriv="/s", env="/e", mounts=True)
    assert started[:5] == ("/bin/sh", "/run/overlays/mount", "/b/lib", "--", "/s")
