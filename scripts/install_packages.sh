#!/bin/sh
# Install Debian packages, unless a command succeeds because their programs are there already:
# install_packages.sh COMMAND PACKAGE...
set -eu
if sh -c "$1" >/dev/null 2>&1; then
    exit 0
fi
shift

as_root=
[ "$(id -u)" = 0 ] || as_root=sudo

install() {
    # If the update fails, the old lists may be enough. If another apt-get runs, this waits for it.
    $as_root apt-get --quiet update || true
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 --quiet --yes \
        install --no-install-recommends "$@"
}

echo "Installing $*: a minute."
if ! output=$(install "$@" 2>&1); then
    echo "$output" >&2
    echo "These tests need Debian's $*, which could not be installed here." >&2
    exit 1
fi
