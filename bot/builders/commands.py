"""The commands of a build: what they see of the world, and what their ending means."""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from bot.builders.failures import explain
from bot.builders.job import Control, Job, Stopped
from bot.builders.plan import Plan, Step
from bot.builders.sandbox.account import hand_over
from bot.builders.sandbox.runner import Command, Ending, Finished, Limits, Overlay, Runner
from bot.builders.toolchain import Toolchain
from bot.errors import UserError
from bot.settings import Settings

SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
_KEPT = 200  # pieces of output, enough for the last lines

# What every command of a build gets. No colours and no progress: it is read as text.
ENVIRONMENT: Mapping[str, str] = {
    "CI": "true",
    "DEPLOYSTACK": "1",
    "LANG": "C.UTF-8",
    "NO_COLOR": "1",
    "TERM": "dumb",
    # A build on somebody's server has nothing to report to anybody.
    "ASTRO_TELEMETRY_DISABLED": "1",
    "DO_NOT_TRACK": "1",
    "GATSBY_TELEMETRY_DISABLED": "1",
    "NEXT_TELEMETRY_DISABLED": "1",
    "NG_CLI_ANALYTICS": "false",
    "NUXT_TELEMETRY_DISABLED": "1",
    "STORYBOOK_DISABLE_TELEMETRY": "1",
    "TURBO_TELEMETRY_DISABLED": "1",
}


class Commands:
    """Runs the commands of one build, which share its time limit."""

    def __init__(self, settings: Settings, runner: Runner, work: Path, control: Control) -> None:
        self._settings = settings
        self._runner = runner
        self._work = work
        self._control = control
        self._deadline = time.monotonic() + settings.BUILD_TIMEOUT

    def limits(self) -> Limits:
        """What is left of the build's time, and the other limits."""
        settings = self._settings
        return Limits(
            seconds=max(self._deadline - time.monotonic(), 0.1),
            memory=settings.BUILD_MEMORY,
            processes=settings.BUILD_PROCESSES,
            disk=settings.BUILD_DISK,
            log=settings.BUILD_LOG_SIZE,
        )

    def ignores(self, plan: Plan, job: Job, changed: Sequence[str]) -> bool:
        """Whether the project's own command says, by ending with 0, not to build.

        It finds what changed since the branch's page in the file $CHANGED_FILES, a path a line.
        """
        tree, home = self._work / "tree", self._work / "home"
        home.mkdir(exist_ok=True)
        listed = self._work / "changed-files"
        listed.write_bytes(b"".join(os.fsencode(path) + b"\n" for path in changed))
        listed.chmod(0o644)
        environment = build_environment(plan, Toolchain(), job, home)
        hand_over(tree)
        command = Command(
            argv=plan.ignore_command,
            folder=tree / plan.root,
            environment={
                **environment,
                "CHANGED_FILES": str(listed),
                "PREVIOUS_COMMIT_SHA": job.built,
            },
            writable=(tree, home),
            readable=(listed,),
            network=False,
            root=self._work,
        )
        self._control.log.say(f"$ {' '.join(plan.ignore_command)}")
        finished = self._runner.run(
            command, self.limits(), self._control.log.write, self._control.cancelled
        )
        if finished.ending is Ending.CANCELLED:
            raise Stopped
        return finished.succeeded

    def build(
        self, plan: Plan, toolchain: Toolchain, job: Job, overlays: tuple[Overlay, ...] = ()
    ) -> None:
        """Run the build steps; raises `UserError` unless all succeed, `Stopped`."""
        tree, home = self._work / "tree", self._work / "home"
        home.mkdir(exist_ok=True)
        environment = build_environment(plan, toolchain, job, home)
        for step in plan.steps:
            if step.name == "build":
                command = Command(
                    argv=step.argv,
                    folder=tree / plan.folder_of(step),
                    environment=environment,
                    writable=(tree, home),
                    readable=tuple(toolchain.readable),
                    overlays=overlays,
                    network=step.network,
                    root=self._work,
                )
                run_step(self._runner, step, command, self.limits(), self._control, self._settings)


def run_step(
    runner: Runner,
    step: Step,
    command: Command,
    limits: Limits,
    control: Control,
    settings: Settings,
) -> None:
    """Run one command of a build, logged; raises `UserError` unless it succeeds, `Stopped`."""
    at = f" (in {step.folder})" if step.folder not in {"", "."} else ""
    control.log.say(f"$ {' '.join(step.argv)}{at}")
    printed: deque[bytes] = deque(maxlen=_KEPT)

    def log(output: bytes) -> None:
        printed.append(output)
        control.log.write(output)

    finished = runner.run(command, limits, log, control.cancelled)
    check(step, finished, b"".join(printed), settings)
    control.log.say(f"That took {finished.seconds:.2f} s")


def assure_programs(plan: Plan, toolchain: Toolchain) -> None:
    """Raise `UserError` where a program is missing that no package of the project brings."""
    path = ":".join((*map(str, toolchain.path_entries), *SYSTEM_PATH))
    for program in plan.programs:
        if shutil.which(program, path=path) is None:
            raise UserError(
                "program-missing",
                f"This is a {plan.framework} project, and this host has no `{program}`.",
                f"Ask the operator to install {program}, or commit the built site.",
            )


def build_environment(plan: Plan, toolchain: Toolchain, job: Job, home: Path) -> dict[str, str]:
    """All that a build command finds in its environment."""
    root = home.parent / "tree" / plan.root
    own = (root / folder for folder in plan.path)
    path = (*map(str, own), *map(str, toolchain.path_entries), *SYSTEM_PATH)
    host = {
        **ENVIRONMENT,
        "HOME": str(home),
        "PATH": ":".join(path),
        "BASE_PATH": job.base_path,
        "COMMIT_SHA": job.sha,
        "COMMIT_REF": job.ref,
        "CONTEXT": job.environment,
        **toolchain.environment,
    }
    return job.variables.around(host, plan.environment)


def check(step: Step, finished: Finished, printed: bytes, settings: Settings) -> None:
    """Raise what an unsuccessful ending means, in words that its author can act on."""
    if finished.succeeded:
        return
    shown = f"`{' '.join(step.argv)}`"
    ending = finished.ending
    if ending is Ending.CANCELLED:
        raise Stopped
    if ending is Ending.TIMED_OUT:
        raise UserError(
            "timed-out",
            f"{shown} was ended when the build had taken {settings.BUILD_TIMEOUT} s.",
            "Does it wait for input, or start a server? The limit is the operator's "
            "BUILD_TIMEOUT, or limits.time of deploystack.toml where that is less.",
        )
    if ending is Ending.OUT_OF_MEMORY:
        raise UserError(
            "out-of-memory",
            f"{shown} needed more than {settings.BUILD_MEMORY >> 20} MB of memory.",
            "Build with less at a time, raise limits.memory in deploystack.toml if it is set, or "
            "ask the operator to raise BUILD_MEMORY.",
        )
    if ending is Ending.DISK_FULL:
        raise UserError(
            "disk-full",
            f"{shown} wrote more than {settings.BUILD_DISK >> 20} MB.",
            "Write less, or ask the operator to raise BUILD_DISK.",
        )
    if ending is Ending.LOG_FULL:
        raise UserError(
            "log-full",
            f"{shown} printed more than {settings.BUILD_LOG_SIZE >> 20} MB.",
            "Have it print less.",
        )
    message, hint = explain(step, finished.exit_code, printed.decode(errors="replace"))
    raise UserError(f"{step.name}-failed", message, hint)
