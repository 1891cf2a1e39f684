"""Signing in to a host, and out of it."""

from __future__ import annotations

import os
import sys

import click

from bot.api.client import Client
from bot.commands import output, servers
from bot.commands.endings import explained
from bot.commands.output import json_option
from bot.commands.session import Session, destination, remote
from bot.errors import UserError


@click.command()
@click.argument("url", default="")
@click.option("--with-token", is_flag=True, help="Read the token from standard input.")
@json_option
@explained
def login(url: str, with_token: bool, as_json: bool) -> None:
    """Sign in to the host at URL with a token, which is checked and kept.

    The token comes from a prompt, from standard input, or from DEPLOYSTACK_TOKEN. The
    host is from then on the one that commands go to. Several can be signed in to.
    """
    chosen = servers.normalised(url) if url else destination("", "")[0]
    if servers.is_exposed(chosen):
        output.note(f"Warning: {chosen} is not https: others on the way can read the token.")
    token = _token(chosen, with_token)
    client = Client(chosen, token)
    try:
        me = client.get("users/me")["data"]
    finally:
        client.close()
    known = servers.read()
    servers.write(servers.Servers(chosen, known.tokens | {chosen: token}))
    output.result(me | {"server": chosen}, as_json, [f"Signed in to {chosen} {_who(me)}."])


@click.command()
@click.argument("url", default="")
@json_option
@explained
def logout(url: str, as_json: bool) -> None:
    """Forget the token of the host at URL. It stays valid: `tokens revoke` ends it."""
    known = servers.read()
    chosen = servers.normalised(url) if url else known.current
    if chosen not in known.tokens:
        raise UserError("not-signed-in", f"There is no token of {chosen or 'any host'} here.")
    tokens = {kept: token for kept, token in known.tokens.items() if kept != chosen}
    current = next(iter(tokens), "") if known.current == chosen else known.current
    servers.write(servers.Servers(current, tokens))
    output.result({"signed_out": chosen}, as_json, [f"Signed out of {chosen}."])


@click.command()
@remote
def whoami(session: Session) -> None:
    """Say which host commands go to, and as whom."""
    me = session.client.get("users/me")["data"] | {"server": session.client.url}
    session.show(
        me,
        output.facts(
            [
                ("Host", me["server"]),
                ("User", me["login"] or "nobody's token"),
                ("Role", me["role"] or ""),
                ("Scope", me["scope"]),
                ("Project", me["project"] or "all"),
                *((f"  {row['project']}", row["role"]) for row in me["memberships"]),
            ]
        ),
    )


def _token(url: str, from_input: bool) -> str:
    token = os.environ.get("DEPLOYSTACK_TOKEN", "")
    if from_input or (not token and not sys.stdin.isatty()):
        token = sys.stdin.readline()
    elif not token:
        token = click.prompt(f"Token for {url}", hide_input=True, err=True)
    if not token.strip():
        raise UserError(
            "token-missing",
            "No token was given.",
            "An administrator makes one with `deploystack tokens create`.",
        )
    return token.strip()


def _who(me: dict[str, str | None]) -> str:
    return f"as {me['login']}" if me["login"] else f"with a token of scope {me['scope']}"
