#!/bin/sh
# Fail where the package has changed since a commit, and its changelog has not: check_changelog.sh COMMIT.
set -eu
cd "$(dirname "$0")/.."
changed=$(git diff --name-only "$1...HEAD" -- airflow_provider_nebula_explorer CHANGELOG.md)
case $changed in
*CHANGELOG.md*) ;;
*airflow_provider_nebula_explorer/*)
    echo "The package has changed: say in CHANGELOG.md what users gain or must mind." >&2
    echo "Where they cannot notice it, give the pull request the label \"no changelog\"." >&2
    exit 1
    ;;
esac
