"""The Grafana dashboards and alert rules, written as plain dicts.

`python -m deploy.grafana.dashboards` writes `grafana-dashboards/*.json` and the alert rules; the
results are committed, and a test builds them again and compares. One module a dashboard, one file
in `flux/` a query. The JSON is Grafana's classic model, which versions 9.3 to 13 read.
"""
