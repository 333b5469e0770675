"""What Bybit lists: its contracts, page by page.

https://bybit-exchange.github.io/docs/v5/market/instrument : more than one page; the cursor comes
with escapes of its own and goes back as it came. `fundingInterval` is in minutes; `deliveryTime`
is "0", or on a perpetual the time of its delisting.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from agent.errors import SourceError, SourceFailure
from agent.poll import Contract
from agent.sources.bybit import refusals
from agent.sources.bybit.door import TICKERS_SHARE, Door
from agent.sources.bybit.envelope import Verdict
from agent.sources.fetch import Reply
from agent.sources.names import BYBIT_QUOTE_COIN
from agent.sources.rows import UNREADABLE, decode_each

PATH: Final = "/v5/market/instruments-info"
ROWS_MAX: Final = 1000
PAGES_MAX: Final = 20
_CURSOR: Final = re.compile(r"[A-Za-z0-9%=,:._~-]{1,512}")
_PERPETUAL: Final = "LinearPerpetual"
_MINUTE_S: Final = 60


class _Row(msgspec.Struct):
    symbol: str
    contractType: str
    quoteCoin: str
    baseCoin: str = ""
    deliveryTime: str = "0"
    fundingInterval: int = 0


class _Result(msgspec.Struct):
    rows: list[msgspec.Raw] = msgspec.field(name="list")
    nextPageCursor: str | None = None


class _Envelope(msgspec.Struct):
    result: _Result


_decode_verdict: Final = msgspec.json.Decoder(Verdict).decode
_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_row_decoder: Final = msgspec.json.Decoder(_Row)


def read(reply: Reply, pause_s: int) -> tuple[list[Contract], str]:
    """A page's readable contracts, and the cursor of the next page ("" = this is the last).

    Raises:
        SourceError: a refusal, no JSON, or not Bybit's envelope.
    """
    refusals.check_status(reply, pause_s)
    try:
        verdict = _decode_verdict(reply.body)
        refusals.check_code(verdict.retCode, verdict.retMsg or "", pause_s)
        result = _decode_envelope(reply.body).result
        rows, _ = decode_each(result.rows, _row_decoder)
    except UNREADABLE as error:
        raise SourceError(
            "poll bybit",
            f"the answer ({reply.description}) is no list of contracts: {error}",
            "a cut-off answer heals by itself; otherwise check bybit.api_base",
            kind=SourceFailure.UNREADABLE,
        ) from error
    return [_contract(row) for row in rows], result.nextPageCursor or ""


def _contract(row: _Row) -> Contract:
    return Contract(
        symbol=row.symbol,
        base_coin=row.baseCoin,
        perpetual=row.contractType == _PERPETUAL and row.quoteCoin == BYBIT_QUOTE_COIN,
        interval_s=max(0, row.fundingInterval) * _MINUTE_S,
        leaves=row.contractType == _PERPETUAL and row.deliveryTime not in {"", "0"},
    )


async def read_all(door: Door, category: str, pause_s: Callable[[], int]) -> dict[str, Contract]:
    """Every contract by its symbol.

    Raises:
        SourceError: a page failed, or the pages have no end: then nothing is known.
    """
    contracts: dict[str, Contract] = {}
    cursor = ""
    for _ in range(PAGES_MAX):
        query = f"category={category}&limit={ROWS_MAX}"
        if cursor:
            query = f"category={category}&cursor={cursor}&limit={ROWS_MAX}"
        reply = await door.get(f"{PATH}?{query}", spare=TICKERS_SHARE)
        page, cursor = read(reply, pause_s())
        contracts.update({contract.symbol: contract for contract in page})
        if not cursor:
            return contracts
        if not _CURSOR.fullmatch(cursor):
            break
    raise SourceError(
        "poll bybit",
        f"the list of contracts has no end after {PAGES_MAX} pages, or an odd cursor",
        "it is asked for again in an hour; a changed format needs a newer perpflux",
        kind=SourceFailure.UNREADABLE,
    )
