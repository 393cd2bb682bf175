#!/bin/sh
# Fail if the package has changed since a commit, but its changelog has not: check_changelog.sh COMMIT.
set -eu
cd "$(dirname "$0")/.."
changed=$(git diff --name-only "$1...HEAD" -- airflow_provider_nebula_explorer CHANGELOG.md)
case $changed in
*CHANGELOG.md*) ;;
*airflow_provider_nebula_explorer/*)
    echo "The package has changed: say in CHANGELOG.md what users gain or must know." >&2
    echo "If they cannot notice the change, give the pull request the label \"no changelog\"." >&2
    exit 1
    ;;
esac
