"""The alert rules' queries against a real InfluxDB: one number an instance, and for how long."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deploy.grafana.dashboards import alerts
from tests.dashboards import data
from tests.dashboards.conftest import Store, text_of
from tests.dashboards.grafana import View, ask

pytestmark = [pytest.mark.slow, pytest.mark.influxdb]


def test_an_alert_has_one_number_for_each_instance(store: Store) -> None:
    """Exactly `_time`, `_value` and the label that tells instances apart; values as known."""
    expected: dict[str, dict[tuple[str, str], object]] = {
        "alert quotes_variational": {("source", "variational"): 49.6},
        "alert quotes_bybit": {("source", "bybit"): 9.95},
        "alert agent_silent": {("host", data.HOST): 10},
        "alert points_lost": {("host", data.HOST): 5},
        "alert backlog": {("host", data.HOST): 7.5},
        "alert polls_failing": {
            ("source", "bybit"): 1,
            ("source", "variational"): pytest.approx(0.75, abs=0.05),
        },
        "alert carry": {("ticker", "BTC"): 0.0595, ("ticker", "ETH"): 0.2, ("ticker", "DOGE"): 0.3},
    }
    windows_s = {f"alert {rule.name}": rule.window_s for rule in (*alerts.RULES, alerts.CARRY)}
    assert set(expected) == set(windows_s)
    for title, numbers in expected.items():
        # Half an hour, so that what was lost 20 minutes ago is in sight.
        found = alert(store, title, max(windows_s[title], 1800 if "lost" in title else 0))
        assert {key: value for key, value in found.items() if key[1] != "SOL"} == {
            key: pytest.approx(value) if isinstance(value, float) else value
            for key, value in numbers.items()
        }, title


def alert(
    store: Store, title: str, window_s: int, later_s: int = 0
) -> dict[tuple[str, str], float]:
    """What an alert's query finds: label and number of each instance."""
    stop = data.END + timedelta(seconds=later_s)
    view = View(
        data.rfc3339(stop - timedelta(seconds=window_s)), data.rfc3339(stop), store.bucket, "1s"
    )
    found = {}
    for frame in ask(store.server, view.fill(text_of(title))):
        ((label, value),) = frame.labels.items()
        (number,) = frame.numbers()
        assert set(frame.fields) == {"_time", "_value"}
        assert number is not None
        found[label, value] = number
    return found


def test_an_alert_goes_on_when_its_source_is_dead(store: Store) -> None:
    """Ages grow for a day after the last point; then there is no data, which alerts as well."""
    for rule in alerts.RULES[:3]:
        (age,) = alert(store, f"alert {rule.name}", rule.window_s, later_s=3600).values()
        assert age > 3500 > rule.limit
        assert alert(store, f"alert {rule.name}", rule.window_s, later_s=2 * 86_400) == {}
        assert rule.no_data == "Alerting"
