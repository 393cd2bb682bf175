#!/bin/sh
# Install packages of the system's, unless a command says that what they bring is there:
# install_packages.sh COMMAND PACKAGE...
set -eu
if sh -c "$1" >/dev/null 2>&1; then
    exit 0
fi
shift

as_root=
[ "$(id -u)" = 0 ] || as_root=sudo

install() {
    # Old lists may do, too. Another apt-get may be at work: it is waited for.
    $as_root apt-get --quiet update || true
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 --quiet --yes \
        install --no-install-recommends "$@"
}

echo "Installing $*: a minute."
if ! output=$(install "$@" 2>&1); then
    echo "$output" >&2
    echo "These tests need what Debian has as $*, and that could not be installed here." >&2
    exit 1
fi
