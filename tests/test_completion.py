"""The command line is completed by the shells themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import require_program

# What somebody has typed, and what the shell must offer for its last word.
TYPED = [
    ("deploystack pro", {"promote", "projects"}),
    ("deploystack env ", {"list", "set", "remove"}),
    ("deploystack completion f", {"fish"}),
    ("deploystack deploy --no", {"--no-wait"}),
]
# How each shell is asked, in its own language. `$typed` is the line; one candidate a line.
BASH = """
eval "$(deploystack completion bash)"
read -ra COMP_WORDS <<< "$typed"
[[ $typed == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
how="$(complete -p deploystack)"
[[ $how =~ -F\\ ([^ ]+) ]]
"${BASH_REMATCH[1]}" deploystack "${COMP_WORDS[COMP_CWORD]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
autoload -Uz compinit && compinit -u -D
eval "$(deploystack completion zsh)"
words=(${(z)typed})
[[ $typed == *" " ]] && words+=("")
CURRENT=${#words}
_describe() { local name=$3 each; for each in ${(P)name}; do print -r -- ${each%%:*}; done }
compadd() { local name=${@[-1]}; print -rl -- ${(P)name} }
${_comps[deploystack]}
"""
FISH = """
deploystack completion fish | source
complete --do-complete $typed
"""
SHELLS = {
    "bash": (BASH, ("--noprofile", "--norc", "-c")),
    "zsh": (ZSH, ("-f", "-c")),
    "fish": (FISH, ("--no-config", "-c")),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands_options_and_values(shell: str, tmp_path: Path) -> None:
    script, options = SHELLS[shell]
    program = require_program(shell)
    command = tmp_path / "deploystack"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{_MAIN}" "$@"\n')
    command.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "LANG": "C.UTF-8",
    }
    for typed, expected in TYPED:
        ended = subprocess.run(
            (program, *options, script),
            env=environment | {"typed": typed},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        offered = {line.split("\t")[0].strip() for line in ended.stdout.splitlines()} - {""}
        assert offered == expected, f"{typed!r}: {ended.stdout}{ended.stderr}"
        assert ended.stderr == ""


_MAIN = "import sys; sys.argv[0] = 'deploystack'; from bot.cli import main; main()"
