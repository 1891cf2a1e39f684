"""A build's log: bounded, plain, and free of secrets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.builders.log import FileLog
from bot.secret import Secret

LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{3} ([>|]) (.*)")


def lines(path: Path) -> list[tuple[str, str]]:
    """(stream, text) of each line."""
    found = []
    for line in path.read_text().split("\n")[:-1]:
        match = LINE.fullmatch(line)
        assert match is not None, line
        found.append((match[1], match[2]))
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "build.log"


def test_each_line_has_its_time_and_its_stream(path: Path) -> None:
    log = FileLog(path, 1 << 20)
    log.say("Fetched")
    log.write(b"one\ntwo\n")
    log.close()
    assert lines(path) == [(">", "Fetched"), ("|", "one"), ("|", "two")]


def test_a_line_can_be_read_as_soon_as_it_is_whole(path: Path) -> None:
    log = FileLog(path, 1 << 20)
    log.write(b"who")
    assert path.read_text() == ""
    log.write(b"le\n")
    assert lines(path) == [("|", "whole")]
    log.close()


def test_what_is_said_comes_after_what_was_printed_before_it(path: Path) -> None:
    log = FileLog(path, 1 << 20)
    log.write(b"unfinished")
    log.say("Stopped")
    log.close()
    assert lines(path) == [("|", "unfinished"), (">", "Stopped")]


def test_a_progress_bar_is_reduced_to_its_last_state(path: Path) -> None:
    log = FileLog(path, 1 << 20)
    log.write(b"10 %\r 50 %\r100 %\r\n")
    log.close()
    assert lines(path) == [("|", "100 %")]


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (b"\x1b[32mgreen\x1b[0m", "green"),
        (b"\x1b]8;;https://x\x07link\x1b]8;;\x07", "link"),
        (b"\x1b]0;title\x1b\\after", "after"),
        (b"\x1b[2K\x1b[1Gdone", "done"),
        (b"bell\x07 and \x00zero", "bell and zero"),
        (b"tab\tstays", "tab\tstays"),
        ("ü ✓".encode(), "ü ✓"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_only_what_a_person_can_read_is_kept(path: Path, printed: bytes, shown: str) -> None:
    log = FileLog(path, 1 << 20)
    log.write(printed + b"\n")
    log.close()
    assert lines(path) == [("|", shown)]


def test_a_full_log_says_so_and_grows_no_more(path: Path) -> None:
    log = FileLog(path, 1000)
    for _ in range(100):
        log.write(b"x" * 50 + b"\n")
    log.say("Failed")
    log.close()
    found = lines(path)
    assert path.stat().st_size < 1100
    assert found[-1] == (">", "The log is full; what follows is not kept.")
    assert found.count(found[-1]) == 1


def test_an_endless_line_is_broken(path: Path) -> None:
    log = FileLog(path, 1 << 22)
    for _ in range(300):
        log.write(b"x" * 1000)
    log.close()
    assert len(lines(path)) > 2
    assert sum(len(text) for _, text in lines(path)) == 300_000


def test_a_build_that_is_taken_up_again_goes_on_in_its_log(path: Path) -> None:
    for text in ("first", "second"):
        log = FileLog(path, 1 << 20)
        log.say(text)
        log.close()
    assert lines(path) == [(">", "first"), (">", "second")]


SECRET = "s3cret-value+(x)"


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_secret_is_masked_however_it_is_split(path: Path, size: int) -> None:
    log = FileLog(path, 1 << 20, [Secret(SECRET)])
    printed = f"token={SECRET}; again {SECRET}\n".encode()
    for start in range(0, len(printed), size):
        log.write(printed[start : start + size])
    log.say(f"said {SECRET}")
    log.close()
    assert lines(path) == [("|", "token=[REDACTED]; again [REDACTED]"), (">", "said [REDACTED]")]


def test_a_secret_in_an_endless_line_is_masked(path: Path) -> None:
    log = FileLog(path, 1 << 22, [Secret(SECRET)])
    for _ in range(20_000):
        log.write(b"-" + SECRET.encode())
    log.close()
    assert SECRET not in path.read_text().replace("\n", "")
    assert "s3cret" not in path.read_text()


def test_each_line_of_a_secret_of_several_lines_is_masked(path: Path) -> None:
    key = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\n-----END KEY-----"
    log = FileLog(path, 1 << 20, [Secret(key)])
    log.write(key.encode() + b"\n")
    log.say(key)
    log.close()
    assert "MIIE" not in path.read_text()


def test_the_longer_of_two_secrets_is_masked_whole(path: Path) -> None:
    log = FileLog(path, 1 << 20, [Secret("password"), Secret("password-and-more")])
    log.write(b"password-and-more\n")
    log.close()
    assert lines(path) == [("|", "[REDACTED]")]


def test_a_text_too_short_to_be_a_secret_does_not_eat_the_log(path: Path) -> None:
    log = FileLog(path, 1 << 20, [Secret("a"), Secret("")])
    log.write(b"banana\n")
    log.close()
    assert lines(path) == [("|", "banana")]


def test_a_secret_that_becomes_known_later_is_masked_from_then_on(path: Path) -> None:
    log = FileLog(path, 1 << 20)
    log.mask([Secret(SECRET)])
    log.write(f"{SECRET}\n".encode())
    log.close()
    assert lines(path) == [("|", "[REDACTED]")]
