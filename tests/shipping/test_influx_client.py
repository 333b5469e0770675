"""The official client, as both doors to InfluxDB hold it."""

from __future__ import annotations

import ssl

import pytest

from agent.influx_client import connect, prepare


async def test_certificates_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """After `prepare` a connection reads no certificate: it would stop the polls for 20 ms."""
    prepare()
    monkeypatch.setattr(ssl, "create_default_context", None)
    for _ in range(2):
        await connect("https://influxdb.example", None, timeout_s=1).close()
