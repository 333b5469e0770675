"""What can be configured: every key, its default and what it is for.

Annotations are evaluated when the models are built; hence no `from __future__ import annotations`.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from agent.config.values import (
    REASON,
    Allowed,
    Category,
    DepthTickers,
    Format,
    HttpUrl,
    JournalAge,
    JournalBytes,
    JournalPath,
    Level,
    ListenAddress,
    NatsUrl,
    OptionalPath,
    PollInterval,
    SinkName,
    Sources,
    Stream,
    Subject,
    Symbols,
    Text,
    Tickers,
    Timeout,
    split_address,
)

SINKS_MAX: Final = 16


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class VariationalConfig(_Section):
    """How to ask Variational Omni."""

    api_base: HttpUrl = Field(
        default="https://omni-client-api.prod.ap-northeast-1.variational.io",
        description="Where Variational's public statistics are.",
    )
    poll_interval_s: PollInterval = Field(
        default=20,
        description="Seconds from slot to slot. The venue refreshes about once a minute.",
    )
    timeout_s: Timeout = Field(default=5.0, description="Seconds one request may take in all.")


class BybitConfig(_Section):
    """How to ask Bybit."""

    api_base: HttpUrl = Field(
        default="https://api.bybit.com", description="Where Bybit's V5 API is."
    )
    category: Category = Field(
        default="linear", description="Kind of contract; only linear perpetuals are read."
    )
    symbols: Symbols = Field(
        default={}, description='Bybit\'s symbol of a ticker where it is not TICKER + "USDT".'
    )
    poll_interval_s: PollInterval = Field(default=1, description="Seconds from slot to slot.")
    timeout_s: Timeout = Field(default=5.0, description="Seconds one request may take in all.")
    depth_tickers: DepthTickers = Field(
        default=("BTC", "ETH"),
        description="Order books to read for the 1k, 100k and 1m prices: one request each a poll.",
    )

    def symbol(self, ticker: str) -> str:
        """Bybit's symbol of `ticker`: as configured, else the ticker in upper case + "USDT"."""
        return self.symbols.get(ticker, f"{ticker.upper()}USDT")


class StoreSink(_Section):
    """A store that speaks InfluxDB's v2 write API. token_file None: sent without a token."""

    url: HttpUrl = Field(description="Where the store is.")
    org: Text = Field(default="perps", description="Organisation in the store.")
    bucket: Text = Field(default="perps", description="Bucket that takes the raw points.")
    token_file: OptionalPath = Field(
        default=None, description="File with the token; read anew at each use."
    )


class InfluxConfig(StoreSink):
    """The main store. token_file None: the token's other places are tried, see TokenSource."""

    url: HttpUrl = Field(default="http://127.0.0.1:8086", description="Where InfluxDB 2 is.")


class NatsSink(_Section):
    """A NATS JetStream stream. credentials_file None: no credentials."""

    nats_url: NatsUrl = Field(description="Where the NATS server is.")
    stream: Stream = Field(description="JetStream stream that holds the subject.")
    subject: Subject = Field(description="Subject that batches are published to.")
    credentials_file: OptionalPath = Field(default=None, description="NATS credentials file.")


SINK_MODELS: Final = (StoreSink, NatsSink)


def _sink_kind(value: object) -> str | None:
    """Which url key is there tells the kind; with both or none it is neither."""
    if isinstance(value, SINK_MODELS):
        return "nats" if isinstance(value, NatsSink) else "store"
    if not isinstance(value, dict) or ("url" in value) == ("nats_url" in value):
        return None
    return "store" if "url" in value else "nats"


SinkConfig = Annotated[
    Annotated[StoreSink, Tag("store")] | Annotated[NatsSink, Tag("nats")],
    Discriminator(
        _sink_kind,
        custom_error_type=REASON,
        custom_error_message="must be a table with exactly one of url and nats_url",
    ),
]


class JournalConfig(_Section):
    """Where points wait, and how much of the past is kept. `load` fills in the default path."""

    path: JournalPath = Field(
        description=(
            'The journal\'s file. "" = perpflux.db in $STATE_DIRECTORY, else in perpflux/ of the '
            "user's state folder ($XDG_STATE_HOME, else ~/.local/state)."
        ),
    )
    bytes_max: JournalBytes = Field(
        default=2_147_483_648,
        description="Bytes the journal may take; beyond, the oldest goes and is counted.",
    )
    age_max_s: JournalAge = Field(default=604_800, description="Seconds that points are kept.")


class HttpConfig(_Section):
    """The read-only HTTP door."""

    listen: ListenAddress = Field(
        default="127.0.0.1:9477",
        description='Where health, metrics, status and the live page are served. "" = off.',
    )

    @property
    def address(self) -> tuple[str, int] | None:
        """Host (IPv6 without brackets) and port (0 = any free one); None = off."""
        return split_address(self.listen) if self.listen else None


class LogConfig(_Section):
    """What is logged, and how."""

    level: Level = Field(default="info", description="Least level that is logged.")
    format: Format = Field(
        default="auto", description="auto: console on a terminal, JSON otherwise."
    )


class Config(_Section):
    """The whole configuration. influxdb None: everything is stored locally only."""

    tickers: Tickers = Field(
        default=("BTC", "ETH"), description="What to collect: names, or all that the sources list."
    )
    data_sources: Sources = Field(default=("variational", "bybit"), description="Venues to poll.")
    variational: VariationalConfig = VariationalConfig()
    bybit: BybitConfig = BybitConfig()
    influxdb: InfluxConfig | None = None
    sinks: Annotated[
        dict[SinkName, SinkConfig],
        Field(max_length=SINKS_MAX),
        Allowed(
            f"up to {SINKS_MAX} tables [sinks.NAME], NAME 1 to 32 of a-z 0-9 _ - but not influxdb; "
            "in the environment a JSON object"
        ),
    ] = Field(
        default={},
        description="Further stores, each with a cursor of its own; none waits for another.",
    )
    journal: JournalConfig
    http: HttpConfig = HttpConfig()
    log: LogConfig = LogConfig()
