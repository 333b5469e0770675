"""The live page: its files joined to one document, whose policy lets in just those.

https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Content-Security-Policy
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

SCRIPTS: Final = ("page.js", "numbers.js", "agent.js", "table.js", "plots.js", "begin.js")
"""One script in this order; each may use what stands in the others."""


class Page(NamedTuple):
    """The document, and its Content-Security-Policy."""

    html: str
    policy: str


@lru_cache(maxsize=1)
def load() -> Page:
    """Read and join the files, once: style and script stand in the document itself."""
    folder = files(__name__)
    html, style, *scripts = (
        folder.joinpath(name).read_text(encoding="utf-8")
        for name in ("page.html", "page.css", *SCRIPTS)
    )
    script = "\n".join(scripts)
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ]
    )
    return Page(html.replace("{style}", style).replace("{script}", script), policy)


def _hash(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
