"""What GitHub is told, as tables."""

from __future__ import annotations

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
        (BuildStatus.SUPERSEDED, "success", "inactive", STATE.log_url),
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
    assert messages.environment_name("octo/site", "preview") == "Preview \N{EN DASH} site"
    assert messages.environment_name("octo/site", "production") == "Production"
    assert messages.environment_name("octo/site#docs", "production") == "Production (docs)"
    part = messages.environment_name("octo/site#docs", "preview")
    assert part == "Preview \N{EN DASH} site (docs)"


def test_each_of_a_repositorys_projects_has_a_status_of_its_own() -> None:
    part = replace(STATE, project="octo/site#docs")
    assert messages.commit_status(part)["context"] == "deploystack/docs"
    assert messages.marker(part.project) == messages.marker(STATE.project)


def test_one_comment_lists_all_of_a_repositorys_projects() -> None:
    failed = replace(STATE, project="octo/site#docs", status=BuildStatus.FAILED, error="broken")
    lines = messages.comment(STATE, failed).split("\n")
    assert lines[0] == messages.marker("octo/site")
    rows = lines[3:5]
    assert rows[0].startswith("| `octo/site` | ✅ Ready")
    assert rows[1].startswith("| `octo/site#docs` | ❌ The build failed")
    assert lines[5:] == ["", "`octo/site#docs`:", "", "```text", "broken", "```"]


def test_many_failed_projects_fit_into_one_comment() -> None:
    failed = replace(STATE, status=BuildStatus.FAILED, error="x" * 10_000)
    text = messages.comment(*(replace(failed, project=f"octo/site#{n}") for n in range(21)))
    assert len(text) < messages.LONGEST_COMMENT
    assert text.count("```text") == 21


def test_a_ready_comment_links_the_preview() -> None:
    assert messages.comment(STATE) == "\n".join(
        [
            "<!-- deploystack:octo/site -->",
            "| Project | Status | Preview | Commit | Duration |",
            "|---|---|---|---|---|",
            "| `octo/site` | ✅ Ready ([log](https://p.test/builds/1)) "
            "| [Open](https://p.test/bbb/) | `bbbbbbbbbbbb` | 12.3 s |",
        ]
    )


def test_a_failed_comment_shows_no_preview_and_says_why() -> None:
    state = replace(STATE, status=BuildStatus.FAILED, error="npm ci ended with 1")
    text = messages.comment(state)
    assert STATE.preview_url not in text
    assert "❌ The build failed" in text
    assert text.endswith("```text\nnpm ci ended with 1\n```")


def test_a_superseded_commit_is_not_red_and_not_pending() -> None:
    said = messages.commit_status(replace(STATE, status=BuildStatus.SUPERSEDED))
    assert (said["state"], said["description"]) == ("success", "Superseded by a newer commit")


STRANGER = "@everyone #1 <img src=x> [x](https://e.test) | `a` ```\n~~~\n# big\x1b[31m\x00\u202e"


def test_strangers_lines_stay_within_their_code_block() -> None:
    state = replace(STATE, status=BuildStatus.FAILED, error=STRANGER)
    opening, *inside, closing = messages.comment(state).split("\n")[5:]
    assert opening == "````text"
    assert closing == "````"  # CommonMark: only a fence at least as long ends it
    assert not any(line.lstrip().startswith("````") for line in inside)
    assert "\x1b" not in "".join(inside)
    assert "\u202e" not in "".join(inside)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("octo/site", "`octo/site`"),
        ("a|b", "`a\\|b`"),
        ("a`b", "`` a`b ``"),
        ("``", "``` `` ```"),
        ("one\ntwo", "`one two`"),
        ("", "`-`"),
    ],
)
def test_a_strangers_name_is_a_code_span_that_fits_a_table_cell(text: str, expected: str) -> None:
    assert messages.code(text) == expected


@pytest.mark.parametrize(
    ("project", "expected"),
    [
        ("octo/site", "<!-- deploystack:octo/site -->"),
        ("octo/a--b", "<!-- deploystack:octo/a--b -->"),
        ("x --> <b>", "<!-- deploystack:x -- b -->"),
    ],
)
def test_nothing_in_a_projects_name_ends_the_marker(project: str, expected: str) -> None:
    assert messages.marker(project) == expected


def test_descriptions_hold_no_characters_that_github_refuses() -> None:
    state = replace(STATE, status=BuildStatus.FAILED, error="\U0001f41b in größe … \x07日本")
    assert messages.description(state) == "The build failed: ? in größe … 日本"


def test_a_comment_stays_within_githubs_limit() -> None:
    for text in ("x" * 200_000, "`" * 200_000, "|`" * 100_000):
        state = replace(STATE, status=BuildStatus.FAILED, error=text, project=text)
        assert len(messages.comment(state, closed=True)) < messages.LONGEST_COMMENT
        assert messages.comment(state).startswith(messages.marker(text))


def test_a_deployment_is_recognised_by_its_payload_and_waits_for_no_other_check() -> None:
    assert messages.deployment("abc", "Production", production=True, own_id="dpl-1") == {
        "ref": "abc",
        "environment": "Production",
        "auto_merge": False,
        "required_contexts": [],
        "transient_environment": False,
        "production_environment": True,
        "payload": {"deploystack": "dpl-1"},
        "description": "DeployStack",
    }


def test_a_deployments_states_never_switch_others_off() -> None:
    live = messages.deployment_status(STATE)
    assert live == {
        "state": "success",
        "log_url": STATE.log_url,
        "description": "Ready in 12.3 s",
        "auto_inactive": False,
        "environment_url": STATE.preview_url,
    }
    failed = messages.deployment_status(replace(STATE, status=BuildStatus.FAILED))
    assert "environment_url" not in failed
    assert messages.inactive("over")["auto_inactive"] is False


def test_a_closed_pull_request_is_said_to_be_closed() -> None:
    assert "closed" in messages.comment(STATE, closed=True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 1 s"), (600, "10 min 0 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert messages.description(replace(STATE, seconds=seconds)) == f"Ready in {text}"


def test_a_build_whose_branch_was_deleted_gave_way_to_no_newer_commit() -> None:
    state = replace(STATE, status=BuildStatus.SUPERSEDED, error="its branch was deleted")
    assert messages.commit_status(state)["description"] == "Given up: its branch was deleted"
    assert "Superseded" not in messages.comment(state)


def test_a_skipped_commit_is_neither_red_nor_pending() -> None:
    said = messages.skipped_status("octo/site", "https://p.test")
    assert (said["state"], said["context"]) == ("success", "deploystack")
    assert said["description"].startswith("Skipped")


def test_the_end_of_a_failed_builds_log_is_folded_and_stays_text() -> None:
    log = "12:00:00.000 | <b>bold</b> ```\n12:00:01.000 > Failed"
    state = replace(STATE, status=BuildStatus.FAILED, error="npm ci ended with 1", log_end=log)
    text = messages.comment(state)
    _, _, folded = text.partition("<details><summary>The end of the log</summary>\n\n")
    assert folded == f"````text\n{log}\n````\n\n</details>"
    assert text.index("npm ci ended with 1") < text.index("<details>")
