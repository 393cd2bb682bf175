# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest
from factories import settings


@pytest.mark.parametrize("value", [settings(), settings().account], ids=["Settings", "Account"])
@pytest.mark.parametrize("write", [pickle.dumps, lambda value: value.serialize(), copy.copy])
def test_what_holds_the_password_is_written_nowhere(value, write):
    with pytest.raises(TypeError, match="holds a password and cannot be serialized") as raised:
        write(value)
    assert "nebula-password" not in str(raised.value)


def test_a_dag_that_is_copied_may_hold_settings():
    held = {"hook": [settings()]}
    assert copy.deepcopy(held)["hook"][0] is held["hook"][0]
    assert replace(held["hook"][0], timeout=1).account.password == "nebula-password"
