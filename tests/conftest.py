"""Fixtures that several files of tests use."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest

# The same examples every time, however long a busy machine takes over one.
hypothesis.settings.register_profile("frieren", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("frieren")


@pytest.fixture
def fake_model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A `command.FakeModel` in place of every model that is loaded."""
    from command import FakeModel

    import frieren

    fake = FakeModel()

    def load(name: str, **options: Any) -> FakeModel:
        fake.loads.append((name, options))
        return fake

    monkeypatch.setattr(frieren, "load", load, raising=False)
    return fake
