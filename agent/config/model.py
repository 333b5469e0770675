"""What can be configured: every key, its default and what it is for.

Whoever runs perpflux reads these texts too: the docstring of a section and the description of a key
stand in the sample configuration (agent/config/sample.py) and in docs/configuration.md.

Annotations are evaluated when the models are built; hence no `from __future__ import annotations`.
"""

from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from agent.config.values import (
    REASON,
    Allowed,
    BackfillDays,
    Category,
    DepthTickers,
    Format,
    Group,
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
    Stream,
    Subject,
    Symbols,
    Text,
    Tickers,
    Timeout,
    at_least_one,
    each_once,
    split_address,
)

SINKS_MAX: Final = 16

SourceName = Literal["variational", "bybit"]
"""The sources; each has a section of its name in `Config`: the arguments of its client."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


_TIMEOUT: Final = "Seconds one request may take, from the connection to the last byte."


class VariationalConfig(_Section):
    """How Variational Omni is asked."""

    api_base: HttpUrl = Field(
        default="https://omni-client-api.prod.ap-northeast-1.variational.io",
        description="Scheme and host of Variational's public statistics.",
    )
    poll_interval_s: PollInterval = Field(
        default=20,
        description=(
            "Seconds from slot to slot. The venue refreshes about once a minute and allows 10 "
            "requests in 10 s: below 20 there is a warning, and nothing newer to read."
        ),
    )
    timeout_s: Timeout = Field(default=5.0, description=_TIMEOUT)


class BybitConfig(_Section):
    """How Bybit is asked."""

    api_base: HttpUrl = Field(
        default="https://api.bybit.com",
        description="Scheme and host of Bybit's V5 API. There are regional ones.",
    )
    category: Category = Field(
        default="linear", description="Kind of contract; only linear perpetuals are read."
    )
    symbols: Symbols = Field(
        default={},
        description=(
            'Bybit\'s symbol of a ticker where it is not TICKER + "USDT", as in '
            '{ PEPE = "1000PEPEUSDT" }.'
        ),
    )
    poll_interval_s: PollInterval = Field(default=1, description="Seconds from slot to slot.")
    timeout_s: Timeout = Field(default=5.0, description=_TIMEOUT)
    depth_tickers: DepthTickers = Field(
        default=("BTC", "ETH"),
        description=(
            "Order books to read for the 1k, 100k and 1m prices: one request each a poll. "
            "[] = none."
        ),
    )
    funding_backfill_days: BackfillDays = Field(
        default=30,
        description="How far back settled funding is fetched on start and after an outage; "
        "0 = none is collected.",
    )

    def symbol(self, ticker: str) -> str:
        """Bybit's symbol of `ticker`: as configured, else the ticker in upper case + "USDT"."""
        return self.symbols.get(ticker, f"{ticker.upper()}USDT")


class StoreSink(_Section):
    """Any store that speaks InfluxDB's v2 write API; url must be given."""

    url: HttpUrl = Field(description="Where the store is.", examples=["https://influx.example.com"])
    org: Text = Field(default="perps", description="Organisation in the store.")
    bucket: Text = Field(default="perps", description="Bucket that takes the raw points.")
    token_file: OptionalPath = Field(
        default=None,
        description='File with the token, read anew at each use. "" = none is sent.',
    )


class InfluxConfig(StoreSink):
    """The main store. Without this section everything is stored locally, and ships when it appears.

    INFLUXDB_V2_URL and INFLUXDB_V2_ORG fill in url and org where nothing else gives them; the first
    of them is enough to have the section.
    """

    url: HttpUrl = Field(default="http://127.0.0.1:8086", description="Where InfluxDB 2 is.")
    token_file: OptionalPath = Field(
        default=None,
        description=(
            'File with the token, such as "/etc/perpflux/influx_token", read anew at each use. '
            '"" = not set: then the systemd credential influx_token, then INFLUXDB_V2_TOKEN.'
        ),
    )


class NatsSink(_Section):
    """A NATS JetStream stream; nats_url, stream and subject must be given."""

    nats_url: NatsUrl = Field(
        description="Where the NATS server is, or several servers of a cluster.",
        examples=["nats://127.0.0.1:4222"],
    )
    stream: Stream = Field(
        description="JetStream stream that holds the subject and all below it.", examples=["perps"]
    )
    subject: Subject = Field(
        description="What subjects begin with: SUBJECT.SOURCE.GROUP.", examples=["perps.points"]
    )
    group: Group = Field(
        default="main",
        description=(
            "Agents of one group collect the same tickers and stand in for each other: what two of "
            "them say of a slot is in the stream once."
        ),
    )
    credentials_file: OptionalPath = Field(
        default=None,
        description=(
            'File with NATS credentials (.creds), or "user:password", or a token; read anew at '
            'each connection. "" = none.'
        ),
    )

    @property
    def servers(self) -> tuple[str, ...]:
        """Each server's URL."""
        return tuple(self.nats_url.split(","))


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
    """Where points wait for the stores, and how much of the past is kept."""

    path: JournalPath = Field(
        description=(
            'The journal\'s file. "" = perpflux.db in $STATE_DIRECTORY, else in perpflux/ of the '
            "user's state folder ($XDG_STATE_HOME, else ~/.local/state)."
        ),
    )
    bytes_max: JournalBytes = Field(
        default=2_147_483_648,
        description="Bytes it may take; beyond, the oldest points go and are counted.",
    )
    age_max_s: JournalAge = Field(default=604_800, description="Seconds that points are kept.")


class HttpConfig(_Section):
    """The live page, its API, health, metrics and status: read-only, without a password."""

    listen: ListenAddress = Field(
        default="127.0.0.1:9477",
        description="Address that is listened on.",
    )

    @property
    def address(self) -> tuple[str, int] | None:
        """Host (IPv6 without brackets) and port (0 = any free one); None = off."""
        return split_address(self.listen) if self.listen else None


class LogConfig(_Section):
    """What is logged, and how."""

    level: Level = Field(default="info", description="Least level that is logged.")
    format: Format = Field(
        default="auto", description="How it is written. auto: console on a terminal, else JSON."
    )


class Config(_Section):
    """The whole configuration. influxdb None: everything is stored locally only."""

    tickers: Tickers = Field(
        default=("BTC", "ETH"),
        description=(
            'What to collect. "all": every listing of Variational and every perpetual in USDT of '
            "Bybit."
        ),
    )
    data_sources: Annotated[
        tuple[SourceName, ...],
        AfterValidator(at_least_one),
        AfterValidator(each_once),
        Allowed(f"list of {' and '.join(get_args(SourceName))}, at least one, each once"),
    ] = Field(default=("variational", "bybit"), description="Venues to poll.")
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
