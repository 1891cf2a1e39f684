"""What GitHub is told, as tables."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bot.github import messages
from bot.github.messages import State
from bot.models.status import BuildStatus

STATE = State(
    project="octo/site",
    sha="b" * 40,
    environment="preview",
    status=BuildStatus.READY,
    preview_url="https://p.test/bbb/",
    log_url="https://p.test/builds/1",
    seconds=12.34,
)


@pytest.mark.parametrize(
    ("status", "commit", "deployment", "url"),
    [
        (BuildStatus.QUEUED, "pending", "queued", STATE.log_url),
        (BuildStatus.CLONING, "pending", "in_progress", STATE.log_url),
        (BuildStatus.BUILDING, "pending", "in_progress", STATE.log_url),
        (BuildStatus.PUBLISHING, "pending", "in_progress", STATE.log_url),
        (BuildStatus.READY, "success", "success", STATE.preview_url),
        (BuildStatus.FAILED, "failure", "failure", STATE.log_url),
        (BuildStatus.TIMED_OUT, "failure", "failure", STATE.log_url),
        (BuildStatus.ERRORED, "error", "error", STATE.log_url),
        (BuildStatus.CANCELLED, "error", "error", STATE.log_url),
        (BuildStatus.SUPERSEDED, "error", "inactive", STATE.log_url),
    ],
)
def test_each_status_has_its_words(
    status: BuildStatus, commit: str, deployment: str, url: str
) -> None:
    state = replace(STATE, status=status)
    said = messages.commit_status(state)
    assert (said["state"], said["target_url"], said["context"]) == (commit, url, "deploystack")
    assert messages.deployment_status(state)["state"] == deployment


def test_every_status_is_covered() -> None:
    for status in BuildStatus:
        assert messages.commit_status(replace(STATE, status=status))["description"]


def test_descriptions_are_one_line_of_at_most_140_characters() -> None:
    state = replace(STATE, status=BuildStatus.FAILED, error="one\ntwo " * 100)
    text = messages.description(state)
    assert len(text) == 140
    assert "\n" not in text
    assert text.endswith("…")
    assert messages.deployment_status(state)["description"] == text


def test_the_environment_is_one_for_all_previews_of_a_project() -> None:
    assert messages.environment_name(STATE) == "Preview \N{EN DASH} site"
    assert messages.environment_name(replace(STATE, environment="production")) == "Production"


def test_a_ready_comment_links_the_preview() -> None:
    assert messages.comment(STATE) == "\n".join(
        [
            "<!-- deploystack:octo/site -->",
            "| Project | Status | Preview | Commit | Took |",
            "|---|---|---|---|---|",
            "| octo/site | ✅ Ready ([log](https://p.test/builds/1)) "
            "| [Open](https://p.test/bbb/) | `bbbbbbbbbbbb` | 12.3 s |",
        ]
    )


def test_a_failed_comment_shows_no_preview_and_says_why() -> None:
    state = replace(STATE, status=BuildStatus.FAILED, error="npm ci ended with 1")
    text = messages.comment(state)
    assert STATE.preview_url not in text
    assert "❌ The build failed" in text
    assert "> npm ci ended with 1" in text


def test_strangers_texts_become_neither_markdown_nor_mentions() -> None:
    state = replace(
        STATE,
        status=BuildStatus.FAILED,
        error="@everyone <img src=x> [x](y) | `a`\n# big ![i](u)",
    )
    last = messages.comment(state).splitlines()[-1]
    assert "@\u200beveryone" in last
    left_bare = re.sub(r"\\.", "", last.removeprefix("> "))
    assert not set(left_bare) & set("<>[]()|`#!*_")


def test_a_comment_stays_within_githubs_limit() -> None:
    state = replace(STATE, status=BuildStatus.FAILED, error="x" * 200_000)
    assert len(messages.comment(state)) < 2000


def test_a_closed_pull_request_is_said_to_be_closed() -> None:
    assert "closed" in messages.comment(STATE, closed=True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 1 s"), (600, "10 min 0 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert messages.description(replace(STATE, seconds=seconds)) == f"Ready in {text}"
