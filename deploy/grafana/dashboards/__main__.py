"""Write every built file to its place."""

from __future__ import annotations

from deploy.grafana.dashboards.build import ROOT, files


def main() -> None:
    """Write what is built; folders are made."""
    for name, text in files().items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
