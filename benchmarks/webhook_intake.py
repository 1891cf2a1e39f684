"""Signed pushes a second, against adnanh/webhook running /bin/true for each.

    python -m benchmarks.webhook_intake [--rounds 3] [--seconds 5]

Ours verifies, parses, records the delivery (SQLite, synchronous=FULL), supersedes,
queues the build and writes the outbox before it answers; the peer verifies and
starts a process. Both get the same requests over 32 connections, in turn.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import uuid
from pathlib import Path

from benchmarks.programs import Load, free_port, median, need, running, table, wrk
from bot.secret import Secret
from bot.webhooks.signature import sign

SECRET = "benchmark"
REPOSITORIES = 20
# Requests that are made beforehand; wrk begins anew when it has sent them all, with
# new GUIDs but commits that are known by then.
PREPARED = {8: 24_000, 200: 1_200}

LUA = """
local requests, at = {}, 0
local threads = 0
function setup(thread) thread:set("thread_id", threads); threads = threads + 1 end
function init(args)
  local file = io.open(string.format("%s.%d", "@FILE@", thread_id), "rb")
  while true do
    local line = file:read("*l")
    if not line then break end
    local signature, size = line:match("(%S+) (%d+)")
    requests[#requests + 1] = { signature, file:read(tonumber(size)) }
    file:read(1)
  end
  file:close()
  math.randomseed(os.time() + thread_id * 7919)
end
function request()
  local nth = requests[at % #requests + 1]
  at = at + 1
  local guid = string.format("%08x-0000-0000-%04x-%08x%04x",
    math.random(0, 0x7fffffff), thread_id, at, math.random(0, 0xffff))
  return wrk.format("POST", "@PATH@", {
    ["Content-Type"] = "application/json",
    ["X-GitHub-Event"] = "push",
    ["X-GitHub-Delivery"] = guid,
    ["X-Hub-Signature-256"] = nth[1],
  }, nth[2])
end
"""


def payload(number: int, kilobytes: int) -> bytes:
    """A push as GitHub sends it, filled up with commits to the size."""
    repository = f"octo/site-{number % REPOSITORIES}"
    sha = uuid.uuid4().hex + f"{number:08x}"
    person = {"name": "Mona Lisa", "email": "mona@example.com", "username": "mona"}
    commit = {
        "id": sha,
        "tree_id": sha,
        "message": f"Change number {number}",
        "timestamp": "2026-01-01T10:00:00+01:00",
        "url": f"https://github.com/{repository}/commit/{sha}",
        "author": person,
        "committer": person,
        "added": [],
        "removed": [],
        "modified": ["src/components/Header.tsx", "README.md"],
    }
    body = {
        "ref": f"refs/heads/topic-{number % 7}",
        "before": "a" * 40,
        "after": sha,
        "deleted": False,
        "repository": {
            "id": number % REPOSITORIES,
            "full_name": repository,
            "private": False,
            "default_branch": "main",
            "pushed_at": 1_700_000_000 + number,
            **{f"{name}_url": f"https://api.github.com/repos/{repository}/{name}"
               for name in ("forks", "keys", "teams", "hooks", "events", "branches", "tags")},
        },
        "sender": {"login": "mona", "id": 1, "type": "User"},
        "head_commit": commit,
        "commits": [],
    }  # fmt: skip
    room = kilobytes * 1024 - len(json.dumps(body))
    body["commits"] = [commit] * (room // (len(json.dumps(commit)) + 2))
    return json.dumps(body).encode()


def prepare(folder: Path, kilobytes: int) -> Path:
    """Signed requests for wrk's two threads; the path that their files' names begin with."""
    path = folder / f"requests-{kilobytes}"
    for thread in range(2):
        with open(f"{path}.{thread}", "wb") as file:
            for number in range(thread, PREPARED[kilobytes], 2):
                body = payload(number, kilobytes)
                file.write(f"{sign(body, Secret(SECRET))} {len(body)}\n".encode() + body + b"\n")
    return path


def script(folder: Path, requests: Path, path: str) -> Path:
    lua = folder / f"{requests.name}{path.replace('/', '-')}.lua"
    lua.write_text(LUA.replace("@FILE@", str(requests)).replace("@PATH@", path))
    return lua


def ours(folder: Path, requests: Path, seconds: int) -> Load:
    data = Path(tempfile.mkdtemp(dir=folder))
    port = free_port()
    gunicorn = str(Path(sys.executable).with_name("gunicorn"))
    command = [gunicorn, "--config", "python:bot.gunicorn_settings", "bot.wsgi:application"]
    environment = {
        "DATA_DIR": str(data),
        "PORT": str(port),
        "GITHUB_WEBHOOK_SECRET": SECRET,
        # With a token, so that the outbox is written as it is in real life.
        "GITHUB_TOKEN": "none",
    }
    with running(command, port, **environment):
        url = f"http://127.0.0.1:{port}"
        load = wrk(url, seconds=seconds, script=script(folder, requests, "/webhooks/github"))
    check(data / "deploystack.db", load, seconds)
    return load


def check(database: Path, load: Load, seconds: int) -> None:
    """Every answered delivery must be there, with a queued (or superseded) build and its outbox."""
    with sqlite3.connect(database) as connection:
        count = {
            name: connection.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0]
            for name in ("deliveries", "builds", "deployments", "outbox")
        }
    answered = load.rate * seconds - load.refused
    if count["deliveries"] < answered * 0.99:
        sys.exit(f"{answered:.0f} were answered but {count['deliveries']} are recorded")
    if not count["builds"] or count["outbox"] < count["builds"]:
        sys.exit(f"builds or their outbox entries are missing: {count}")


def peer(folder: Path, requests: Path, seconds: int) -> Load:
    hooks = folder / "hooks.json"
    rule = {
        "type": "payload-hmac-sha256",
        "secret": SECRET,
        "parameter": {"source": "header", "name": "X-Hub-Signature-256"},
    }
    hook = {"id": "push", "execute-command": "/bin/true", "trigger-rule": {"match": rule}}
    hooks.write_text(json.dumps([hook]))
    port = free_port()
    command = [need("webhook"), "-hooks", str(hooks), "-ip", "127.0.0.1", "-port", str(port)]
    with running(command, port):
        url = f"http://127.0.0.1:{port}"
        return wrk(url, seconds=seconds, script=script(folder, requests, "/hooks/push"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kilobytes in PREPARED:
            requests = prepare(folder, kilobytes)
            rounds: dict[str, list[Load]] = {"ours": [], "peer": []}
            for _ in range(options.rounds):
                rounds["ours"].append(ours(folder, requests, options.seconds))
                rounds["peer"].append(peer(folder, requests, options.seconds))
            mine, theirs = median(rounds["ours"]), median(rounds["peer"])
            for who, load in (("DeployStack", mine), ("adnanh/webhook", theirs)):
                figures = (f"{load.rate:,.0f}", f"{load.p50:.1f}", f"{load.p99:.1f}", load.refused)
                ratio = f"{load.rate / theirs.rate:.2f}", f"{load.p99 / theirs.p99:.2f}"
                rows.append((f"{kilobytes} KB", who, *figures, *ratio))
    header = ("push", "server", "requests/s", "p50 ms", "p99 ms", "refused")
    table((*header, "rate ratio", "p99 ratio"), rows)


if __name__ == "__main__":
    main()
