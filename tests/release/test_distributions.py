# SPDX-License-Identifier: Apache-2.0
"""What a release contains: run by ``make release-check``, which builds it into ``dist/`` first."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from airflow_provider_nebula_explorer import __version__

ROOT = Path(__file__).parents[2]
PACKAGE = "airflow_provider_nebula_explorer"
NAME = f"{PACKAGE}-{__version__}"
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def git(*arguments):
    ran = subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, capture_output=True, text=True)
    return ran.stdout.split()


@pytest.fixture(scope="module")
def path():
    """The wheel's path; a test of its own checks that there are one wheel and one sdist of this version."""
    return ROOT / "dist" / f"{NAME}-py3-none-any.whl"


@pytest.fixture(scope="module")
def wheel(path):
    with zipfile.ZipFile(path) as wheel:
        yield wheel


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The folder of the sdist."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(ROOT / "dist" / f"{NAME}.tar.gz") as sdist:
        sdist.extractall(folder, filter="data")
    return folder / NAME


@pytest.fixture(scope="module")
def installed(path, tmp_path_factory):
    """A Python with the wheel and its dependencies, and nothing else."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([ROOT / "scripts/make_venv.sh", folder, f"{path}[emulator]"], cwd=ROOT, check=True)
    return folder / "bin/python"


def test_there_are_one_wheel_and_one_sdist_of_this_version(path):
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{NAME}.tar.gz"}


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    assert {name.split("/")[0] for name in wheel.namelist()} == {PACKAGE, f"{NAME}.dist-info"}


def test_the_wheel_holds_every_module_and_the_type_marker(wheel):
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / PACKAGE).rglob("*.py")}
    assert ours | {f"{PACKAGE}/py.typed"} <= set(wheel.namelist())


def test_the_wheel_of_the_sdist_is_the_wheel_of_the_sources(wheel, tmp_path):
    # `make build` builds the wheel from the sdist, as redistributors do.
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.iterdir())) as direct:
        assert [(file.filename, file.CRC) for file in direct.infolist()] == [
            (file.filename, file.CRC) for file in wheel.infolist()
        ]


def test_the_entry_points_are_declared(wheel):
    text = wheel.read(f"{NAME}.dist-info/entry_points.txt").decode()
    assert f"[apache_airflow_provider]\nprovider_info = {PACKAGE}.provider_info" in text
    assert f"[pytest11]\nnebula_explorer = {PACKAGE}.pytest_plugin" in text


def test_the_metadata_says_what_it_needs(wheel):
    metadata = message_from_string(wheel.read(f"{NAME}.dist-info/METADATA").decode())
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    needs = metadata.get_all("Requires-Dist")
    always = [need for need in needs if "extra ==" not in need]
    assert [need.split(">=")[0] for need in always] == [
        "anyio",
        "apache-airflow-providers-common-compat",
        "apache-airflow",
        "asgiref",
        "certifi",
        "cryptography",
        "httpx",
        "requests",
        "urllib3",
    ], "the base install stays small"
    assert "apache-airflow>=2.11.0" in needs


def test_the_licence_is_in_the_wheel(wheel):
    assert {f"{NAME}.dist-info/licenses/{file}" for file in ("LICENSE", "NOTICE")} <= set(wheel.namelist())


def test_the_sdist_can_be_tested_and_documented_from(unpacked):
    names = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*")}
    assert {"Makefile", "README.md", "CHANGELOG.md", "LICENSE", "NOTICE", "pyproject.toml"} <= names
    assert "constraints.txt" in names
    assert {"tests/conftest.py", "example_dags/run_workflow.py", "docs/connection.md"} <= names
    assert {"docs/conf.py", "docs/howto/index.md", "requirements-docs.txt", "scripts/check_site.py"} <= names


def test_the_sdist_holds_what_git_tracks_and_nothing_else(unpacked):
    names = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert names == {*git("ls-files"), "PKG-INFO"}


def test_what_lies_about_in_a_clone_is_in_no_distribution(tmp_path):
    clone, built = tmp_path / "clone", tmp_path / "built"
    git("clone", "--quiet", str(ROOT), str(clone))
    for name in ("tests/.env", "notes.txt", f"{PACKAGE}/secrets.json"):
        (clone / name).write_text("password = stand-in")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(built), str(clone)]
    subprocess.run(command, check=True, capture_output=True)
    with tarfile.open(built / f"{NAME}.tar.gz") as sdist, zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = [*sdist.getnames(), *wheel.namelist()]
    assert f"{NAME}/tests/conftest.py" in names
    assert not [name for name in names if name.endswith((".env", "notes.txt", "secrets.json"))]


def test_each_action_of_a_workflow_is_pinned_by_its_commit():
    # A tag can be moved to other code, which would then publish releases.
    uses = [
        line.partition("uses:")[2].strip()
        for path in (ROOT / ".github").rglob("*.y*ml")
        for line in path.read_text().splitlines()
        if "uses:" in line
    ]
    assert "pypa/gh-action-pypi-publish" in {action.partition("@")[0] for action in uses}
    assert [action for action in uses if not PINNED.fullmatch(action)] == []
    by_action = {action.partition("@")[0]: action for action in uses}
    assert set(by_action.values()) == set(uses), "one version of each action"


def test_the_wheel_is_what_is_imported(installed):
    program = f"import {PACKAGE}; print({PACKAGE}.__version__, {PACKAGE}.__file__)"
    ran = subprocess.run([installed, "-I", "-c", program], check=True, capture_output=True, text=True)
    version, _, file = ran.stdout.strip().partition(" ")
    assert version == __version__
    assert "site-packages" in file


def test_the_demo_runs_from_the_wheel_alone(installed, unpacked, tmp_path):
    # In an empty folder, as `python -m airflow` imports the package from the current folder if it is there.
    demo = subprocess.run(
        [installed, unpacked / "scripts/demo.py"], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert "Done; nothing is left running." in demo.stdout, demo.stdout + demo.stderr
    assert demo.returncode == 0


def heading():
    """Return what the changelog has in brackets behind the version."""
    changelog = (ROOT / "CHANGELOG.md").read_text()
    found = re.search(rf"^## {re.escape(__version__)} \((.+)\)$", changelog, re.MULTILINE)
    assert found, f'CHANGELOG.md has no heading "## {__version__} (unreleased)", or with a date'
    return found[1]


def test_the_changelog_has_an_entry_for_the_version():
    assert re.fullmatch(r"unreleased|20\d\d-\d\d-\d\d", heading())


def test_a_tag_is_the_version_whose_entry_has_a_date_and_no_file_is_changed():
    tags = [tag for tag in git("tag", "--points-at", "HEAD") if tag.startswith("v")]
    if not tags:
        pytest.skip("this commit is not tagged as a release")
    assert tags == [f"v{__version__}"]
    assert heading() != "unreleased"
    assert git("status", "--porcelain") == []
