#!/bin/sh
# Makes .venv with everything from the lock: finds a Python >= 3.12, installs, and leaves a stamp.
# Usage: tools/setup.sh [VENV]
set -eu
venv=${1:-.venv}

usable() {
    # Some systems ship a Python that cannot make environments; pip is needed inside them.
    "$1" -c "import sys, $2; raise SystemExit(sys.version_info < (3, 12))" >/dev/null 2>&1
}

find_python() {
    # A pyenv shim may exist and refuse to run, so every candidate is tried, not only looked for.
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.14 python3 python \
        "${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}"/versions/3.1[2-9]*/bin/python /usr/local/bin/python3.1[2-9] /opt/python*/bin/python3; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 && usable "$candidate" ensurepip; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

if ! python=$(find_python); then
    echo "setup: no Python 3.12 or newer (with venv) found: install one, or name it: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi
if ! usable "$venv/bin/python" pip; then
    echo "setup: making $venv with $("$python" --version)" >&2
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
echo "setup: installing from requirements.lock" >&2
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
touch "$venv/.installed"
