"""What commands print: results on stdout, for people or as JSON; everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

_GOOD = {"ready", "verified"}
_BAD = {"failed", "errored", "timed out", "deleted", "expired", "cancelled"}


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(
        command
    )


def is_terminal() -> bool:
    """Whether a person looks on: progress is shown, and stderr may move."""
    return sys.stderr.isatty()


def styled(text: str, **style: Any) -> str:
    """https://no-color.org; what is no terminal loses its colours in `click.echo`."""
    return text if os.environ.get("NO_COLOR") else click.style(text, **style)


def status(text: str) -> str:
    colour = "green" if text in _GOOD else "red" if text in _BAD else "yellow"
    return styled(text, fg=colour)


def note(text: str) -> None:
    """For people: never in the way of what a script reads."""
    click.echo(text, err=True)


def result(data: Any, as_json: bool, lines: Iterable[str]) -> None:
    """`data` as JSON, or the lines. Lines are not made where nobody reads them."""
    if as_json:
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        for line in lines:
            click.echo(line)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Aligned columns, also where texts are coloured."""
    cells = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [
        max(len(click.unstyle(cell)) for cell in column) for column in zip(*cells, strict=True)
    ]
    for number, row in enumerate(cells):
        padded = (
            cell + " " * (width - len(click.unstyle(cell)))
            for cell, width in zip(row, widths, strict=True)
        )
        line = "  ".join(padded).rstrip()
        yield styled(line, bold=True) if number == 0 else line


def facts(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Names and values, without those that are empty."""
    known = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        yield f"{name:<{width}}  {value}"


def when(milliseconds: int | None) -> str:
    """UTC, to the second."""
    if milliseconds is None:
        return ""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"


def size(count: int) -> str:
    """Bytes, for people: `3 B`, `1.5 MB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


@contextmanager
def progress(what: str, *, in_bytes: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; elsewhere nothing. The callable is told how many of how many."""
    if not is_terminal():
        yield lambda _done, _of: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TransferSpeedColumn,
    )

    counts = (DownloadColumn(), TransferSpeedColumn()) if in_bytes else (MofNCompleteColumn(),)
    columns = (TextColumn(what), BarColumn(), *counts)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = None

        def step(done: int, of: int) -> None:
            nonlocal task
            if task is None:
                task = bars.add_task(what, total=of)
            bars.update(task, completed=done, total=of)

        yield step


@contextmanager
def busy(what: str) -> Iterator[Callable[[str], None]]:
    """On a terminal a line that moves, with how long it has been, below the lines that the
    callable is told; elsewhere those lines alone. All of it on stderr."""
    if not is_terminal():
        yield note
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bars.add_task(what, total=None)
        yield lambda line: bars.console.print(Text(line), soft_wrap=True)
