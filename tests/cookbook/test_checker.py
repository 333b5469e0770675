"""The cookbook before InfluxData's own Flux checker: types, names and arguments."""

from __future__ import annotations

import pytest

from agent.queries import cookbook
from tests.support.node import node

STYLE = "Idiomatic flux uses camel case"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_flux_is_checked_by_its_own_checker() -> None:
    """Every entry is right without any data; parameters are named like fields: with units."""
    texts = {name: recipe.text for name, recipe in cookbook().items()}
    found = node("flux.mjs", stdin=texts)
    wrong = [text for texts in found.values() for text in texts if STYLE not in text]
    assert wrong == []
    assert set(found) == set(texts)
