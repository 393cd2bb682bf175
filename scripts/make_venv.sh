#!/bin/sh
# Make a virtual environment and install into it: make_venv.sh FOLDER PIP-ARGUMENT...
# With uv where it is installed, else with venv and pip. Python: $PYTHON, else python3.
# Versions: those of $CONSTRAINTS, else of constraints.txt.
set -eu
folder=$1
shift
constraints=${CONSTRAINTS:-constraints.txt}

python=$("${PYTHON:-python3}" -c 'import sys; print(sys.executable)') || {
    echo "There is no ${PYTHON:-python3}. Install Python 3.10 or newer, or name one: make PYTHON=python3.12 ..." >&2
    exit 1
}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "$python is $("$python" --version), and Python 3.10 or newer is needed: make PYTHON=python3.12 ..." >&2
    exit 1
}

echo "Installing into $folder with $("$python" --version): a minute, or a few the first time."
if command -v uv >/dev/null 2>&1; then
    [ -x "$folder/bin/python" ] || uv venv --quiet --python "$python" "$folder"
    uv pip install --quiet --python "$folder/bin/python" --constraint "$constraints" "$@"
else
    [ -x "$folder/bin/python" ] || "$python" -m venv "$folder" || {
        rm -rf "$folder"
        echo "On Debian and Ubuntu: apt install python3-venv" >&2
        exit 1
    }
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$constraints" "$@"
fi
