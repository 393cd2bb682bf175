#!/bin/sh
# Install Chromium from the system's packages, with a font for Airflow's pages, where no such browser is there.
set -eu
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done

as_root=
[ "$(id -u)" = 0 ] || as_root=sudo

install() {
    # Old lists may do, too. Another apt-get may be at work: it is waited for.
    $as_root apt-get --quiet update || true
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 --quiet --yes \
        install --no-install-recommends chromium fonts-liberation
}

echo "Installing Chromium: a minute."
if ! output=$(install 2>&1); then
    echo "$output" >&2
    echo "The tests in a browser need Chromium or Google Chrome on the PATH. It could not be installed here; on" \
        "Debian: apt-get install chromium" >&2
    exit 1
fi
