#!/bin/sh
# Make a virtual environment and install into it: make_venv.sh FOLDER PIP-ARGUMENT...
# It uses uv if that is installed, else venv and pip. Python: $PYTHON, else python3; pyenv's Pythons are found, too.
# Versions: those in $CONSTRAINTS, else in constraints.txt; for pyproject.toml, its lower bounds.
set -eu
folder=$1
shift
constraints=${CONSTRAINTS:-constraints.txt}
name=${PYTHON:-python3}

path_of_python() {
    "$1" -c 'import sys; print(sys.executable)' 2>/dev/null
}

# Find a Python of pyenv, whose own commands fail for versions that are not selected, or one next to python3.
installed_elsewhere() {
    prefix=$(python3 -c 'import sys; print(sys.base_prefix)')
    for found in "$(pyenv root 2>/dev/null)/versions/${name##*python}"*/bin/"$name" \
        "${prefix%/*}/${name##*python}"*/bin/"$name"; do
        path_of_python "$found" && return
    done
    return 1
}

python=$(path_of_python "$name" || installed_elsewhere) || {
    echo "There is no working $name. Install Python 3.10 or newer, or name one: make PYTHON=python3.12 ..." >&2
    exit 1
}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "$python is $("$python" --version), and Python 3.10 or newer is needed: make PYTHON=python3.12 ..." >&2
    exit 1
}

if [ "$constraints" = pyproject.toml ]; then
    constraints=$(mktemp)
    trap 'rm -f "$constraints"' EXIT
    grep -oE '"[a-z0-9-]+>=[0-9.]+"' pyproject.toml | tr -d '"' | sed 's/>=/==/' >"$constraints"
fi

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
