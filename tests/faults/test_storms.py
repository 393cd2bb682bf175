# SPDX-License-Identifier: Apache-2.0
"""The campaign itself: a scene in which nothing went wrong proves nothing, and fails."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hurry import open_hook
from scenes import Stage
from storms import transient_ones

from airflow_provider_nebula_explorer.emulator import Fault

SELDOM = 10_000
CALLS = 60


def play(stage: Stage, faults: Sequence[Fault]) -> None:
    stage.clear()
    job_id = stage.explorer.start_job(5)
    with (
        stage.storm("calm", faults, done=CALLS, needed=lambda: CALLS + 1, most=9, every=SELDOM),
        open_hook(stage) as hook,
    ):
        for _ in range(CALLS):
            stage.repeat(lambda: hook.get_job(job_id))


@pytest.mark.parametrize(
    ("faults", "match"),
    [([], "hardly any faults"), (transient_ones(), "not each disruption happened")],
    ids=["no faults", "no disruptions"],
)
def test_a_scene_in_which_nothing_went_wrong_fails(stage: Stage, faults: Sequence[Fault], match: str):
    with pytest.raises(AssertionError, match=match):
        play(stage, faults)
    assert "calm" not in [scene.name for scene in stage.figures.scenes]
