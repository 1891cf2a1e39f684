"""The log: every line says which push it belongs to, in either form, and no secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest

from bot.observe import logs
from bot.observe.context import carrying, ids
from bot.settings import Settings

Make = Callable[..., Settings]


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    """pytest's own handlers, and the level, are there again afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def test_a_line_carries_the_ids_of_the_running_task(
    make_settings: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(make_settings())
    with carrying(build="bld-1"), carrying(deployment="dpl-1", delivery=""):
        logging.getLogger("bot.worker").info("it began")
    logging.getLogger("bot.worker").info("it is over")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("INFO bot.worker it began [build=bld-1 deployment=dpl-1]")
    assert second.endswith("INFO bot.worker it is over")


def test_json_lines_carry_the_same_ids_as_fields(
    make_settings: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(make_settings(LOG_FORMAT="json"))
    with carrying(build="bld-1"):
        logging.getLogger("bot.worker").warning("%d of %d", 1, 2)
    line = json.loads(capsys.readouterr().err)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "message": "1 of 2",
        "level": "warning",
        "logger": "bot.worker",
        "build": "bld-1",
    }


def test_an_exception_is_one_json_line(
    make_settings: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(make_settings(LOG_FORMAT="json"))
    try:
        raise RuntimeError("on fire")
    except RuntimeError:
        logging.getLogger("bot").exception("unexpected")
    (text,) = capsys.readouterr().err.splitlines()
    line = json.loads(text)
    assert line["message"] == "unexpected"
    assert line["exception"][0]["exc_value"] == "on fire"
    assert "locals" not in text, "variables may hold secrets"


def test_what_is_below_the_level_is_not_written(
    make_settings: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(make_settings(LOG_LEVEL="WARNING"))
    logging.getLogger("bot").info("nobody wants to know")
    assert capsys.readouterr().err == ""


def test_ids_end_with_the_task_that_carried_them() -> None:
    def fail() -> None:
        with carrying(build="bld-1"):
            assert ids() == {"build": "bld-1"}
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert ids() == {}
