#!/bin/sh
# Installs programs that this machine lacks: as root on Debian and its kin by
# apt-get, elsewhere it says in one line what is missing and what that costs.
#   prepare.sh venv PYTHON FOLDER   make the virtual environment
#   prepare.sh run                  what builds use
#   prepare.sh test                 what the tests use on top
#   prepare.sh frameworks           what `make test-frameworks` builds with, besides
set -eu

missing=""

# need PROGRAM PACKAGE
need() {
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

install() {
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "Installing$missing …"
        # shellcheck disable=SC2086 # a list of package names
        (apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends $missing) >/dev/null
    else
        echo "Not installed:$missing. $1"
    fi
}

case "${1:-}" in
venv)
    if ! "$2" -m venv "$3" 2>/dev/null || [ ! -x "$3/bin/pip" ]; then
        missing=" python3-venv"
        install "Install it (apt-get install python3-venv) and run this again."
        "$2" -m venv --clear "$3"
    fi
    ;;
run)
    need git git
    need bwrap bubblewrap
    need slirp4netns slirp4netns
    need ip iproute2
    install "Without git nothing can be fetched; without the others builds are less confined."
    ;;
test)
    need git git
    need bwrap bubblewrap
    need slirp4netns slirp4netns
    need ip iproute2
    need podman podman
    need runc runc
    need catatonit catatonit
    need perl perl
    need zsh zsh
    need fish fish
    need node nodejs
    need npm npm
    need chromium chromium
    need nginx nginx-light
    need caddy caddy
    need redis-server redis-server
    # Debian keeps its programs out of PATH.
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need initdb postgresql
    need promtool prometheus
    need systemd-analyze systemd
    install "Tests that need them will be skipped."
    ;;
frameworks)
    need jekyll jekyll
    need bundle ruby-bundler
    install "Their frameworks will be recognised, and not built."
    # Debian has it from version 13 on.
    missing=""
    need mdbook mdbook
    install "mdBook will be recognised, and not built." 2>/dev/null || echo "There is no mdbook."
    ;;
*)
    echo "usage: prepare.sh venv PYTHON FOLDER | run | test | frameworks" >&2
    exit 2
    ;;
esac
