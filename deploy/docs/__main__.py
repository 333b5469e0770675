"""Write every built file to its place."""

from __future__ import annotations

from deploy.docs.build import ROOT, files


def main() -> None:
    """Write what is built."""
    for name, text in files().items():
        (ROOT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
