"""What Airflow makes of values of ours that a task returns."""

from __future__ import annotations

import pytest
from factories import a_job, settings

try:
    from airflow.sdk.serde import deserialize, serialize
except ImportError:
    from airflow.serialization.serde import deserialize, serialize

from airflow_provider_nebula_explorer.explorer.models import JobStatus


@pytest.mark.parametrize("wrap", [lambda it: it, lambda it: [it], lambda it: {"settings": it}])
@pytest.mark.parametrize("value", [settings(), settings().account], ids=["Settings", "Account"])
def test_settings_cannot_be_returned_from_a_task(value, wrap):
    with pytest.raises(TypeError, match="holds a password and cannot be serialized"):
        serialize(wrap(value))


def test_a_job_cannot_be_returned_from_a_task_but_its_data_and_its_status_can():
    job = a_job()
    with pytest.raises(ImportError, match="allowed_deserialization_classes"):
        deserialize(serialize(job))
    assert deserialize(serialize(job.data)) == job.data
    assert deserialize(serialize(job.status)) == JobStatus.SUCCESS
