"""The campaign itself: a scene fails where nothing went wrong, as it shows nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hurry import open_hook
from scenes import Stage
from storms import that_pass

from airflow_provider_nebula_explorer.emulator import Fault

SELDOM = 10_000
CALLS = 60


def play(stage: Stage, faults: Sequence[Fault]) -> None:
    stage.clear()
    job_id = stage.explorer.start_job(5)
    with (
        stage.storm("calm", faults, done=CALLS, needed=lambda: CALLS + 1, most=9, clients=1, every=SELDOM),
        open_hook(stage) as hook,
    ):
        for _ in range(CALLS):
            stage.insist(lambda: hook.get_job(job_id))


@pytest.mark.parametrize(
    ("faults", "match"),
    [([], "hardly any faults"), (that_pass(), "what else was to befall")],
    ids=["no faults", "no plagues"],
)
def test_a_scene_fails_where_nothing_befell_it(stage: Stage, faults: Sequence[Fault], match: str):
    with pytest.raises(AssertionError, match=match):
        play(stage, faults)
    assert "calm" not in [scene.name for scene in stage.figures.scenes]
