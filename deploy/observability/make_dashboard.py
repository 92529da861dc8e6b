"""Writes dashboard.json, for Grafana, and console.html, which Prometheus serves by itself: what an
operator asks, a panel a question.

python deploy/observability/make_dashboard.py     # a test asks whether this was done
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("dashboard.json")
CONSOLE = FILE.with_name("console.html")
_WIDTH, _HEIGHT = 8, 8

Question = tuple[str, str, list[tuple[str, str]]]
"""A title, a unit of Grafana's, and queries with their legends."""

ROWS: dict[str, list[Question]] = {
    "Do users get answers?": [
        (
            "Requests a second, by status",
            "reqps",
            [("sum by (status) (rate(ptsys_http_requests_total[5m]))", "{{status}}")],
        ),
        (
            "Errors of the service",
            "percentunit",
            [
                (
                    '(sum(rate(ptsys_http_requests_total{status=~"5.."}[5m])) or vector(0)) '
                    "/ sum(rate(ptsys_http_requests_total[5m]))",
                    "5xx",
                )
            ],
        ),
        (
            "Time to answer, 95th percentile",
            "s",
            [
                (
                    "histogram_quantile(0.95, sum by (le, path) "
                    '(rate(ptsys_http_request_seconds_bucket{path=~"/v1/.*",path!~".*/events"}[5m])))',
                    "{{path}}",
                )
            ],
        ),
        ("Requests under way", "short", [("sum(ptsys_http_requests_under_way)", "HTTP")]),
        (
            "Requests that wait for a worker",
            "short",
            [("max by (model) (ptsys_requests_waiting)", "{{model}}")],
        ),
        (
            "Rows answered a second",
            "rows/s",
            [("sum by (kind, model) (rate(ptsys_rows_total[5m]))", "{{kind}} {{model}}")],
        ),
    ],
    "Do jobs get on?": [
        (
            "Jobs by state",
            "short",
            [("sum by (state) (max by (state, model) (ptsys_jobs))", "{{state}}")],
        ),
        (
            "Age of the oldest queued job",
            "s",
            [("max by (model) (ptsys_queue_age_seconds)", "{{model}}")],
        ),
        (
            "Runs that ended, a minute",
            "short",
            [("60 * sum by (how) (rate(ptsys_jobs_ended_total[5m]))", "{{how}}")],
        ),
        (
            "Workers, and jobs on them",
            "short",
            [
                ("max by (model) (ptsys_workers_ready)", "workers of {{model}}"),
                ("max by (model) (ptsys_residents)", "jobs on {{model}}"),
            ],
        ),
        (
            "Leases lost or not renewed, an hour",
            "short",
            [
                ("sum(increase(ptsys_leases_lost_total[1h]))", "lost"),
                ("sum(increase(ptsys_leases_not_renewed_total[1h]))", "not renewed"),
            ],
        ),
        (
            "Warnings and errors logged, a minute",
            "short",
            [
                (
                    "60 * sum by (instance, level) (rate(ptsys_logged_total[5m]))",
                    "{{instance}} {{level}}",
                )
            ],
        ),
    ],
    "Who uses what? (PTSYS_METRICS_USERS)": [
        (
            "Rows a second, by user",
            "rows/s",
            [("topk(20, sum by (user) (rate(ptsys_user_rows_total[5m])))", "{{user}}")],
        ),
        (
            "Device seconds a second, by user",
            "percentunit",
            [("topk(20, sum by (user) (rate(ptsys_user_device_seconds_total[5m])))", "{{user}}")],
        ),
        (
            "Device seconds of a day, by user",
            "s",
            [
                (
                    "topk(20, sum by (user) (increase(ptsys_user_device_seconds_total[1d])))",
                    "{{user}}",
                )
            ],
        ),
    ],
    "What do the devices do?": [
        (
            "Time of a step, mean",
            "s",
            [
                (
                    "sum by (kind) (rate(ptsys_step_seconds_sum[5m])) "
                    "/ sum by (kind) (rate(ptsys_step_seconds_count[5m]))",
                    "{{kind}}",
                )
            ],
        ),
        (
            "Batch fill",
            "percentunit",
            [
                (
                    "sum by (kind) (rate(ptsys_step_rows_total[5m])) "
                    "/ sum by (kind) (rate(ptsys_step_room_total[5m]))",
                    "{{kind}}",
                )
            ],
        ),
        (
            "Busy",
            "percentunit",
            [("sum by (instance) (rate(ptsys_step_seconds_sum[5m]))", "{{instance}}")],
        ),
        (
            "Compilations: under way, and seconds a second",
            "short",
            [
                ("sum(ptsys_compiling)", "under way"),
                ("sum by (kind) (rate(ptsys_compile_seconds_sum[5m]))", "{{kind}}"),
            ],
        ),
        (
            "Device memory",
            "percentunit",
            [
                (
                    "ptsys_device_memory_bytes / ptsys_device_memory_limit_bytes",
                    "{{instance}} {{device}}",
                )
            ],
        ),
        (
            "Steps that failed, an hour",
            "short",
            [("sum by (kind) (increase(ptsys_steps_failed_total[1h]))", "{{kind}}")],
        ),
    ],
    "What does it stand on?": [
        (
            "Round trip to Redis and database",
            "s",
            [("avg by (name, job) (ptsys_dependency_seconds)", "{{name}} from {{job}}")],
        ),
        (
            "Statements of the database, 95th percentile",
            "s",
            [
                (
                    "histogram_quantile(0.95, sum by (le, job) "
                    "(rate(ptsys_database_statement_seconds_bucket[5m])))",
                    "{{job}}",
                )
            ],
        ),
        ("Free space of the data", "bytes", [("min(ptsys_data_free_bytes)", "free")]),
    ],
}


def dashboard() -> dict[str, Any]:
    """The whole dashboard."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row, questions in ROWS.items():
        place = {"h": 1, "w": 24, "x": 0, "y": y}
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": row,
                "gridPos": place,
                "collapsed": False,
                "panels": [],
            }
        )
        y += 1
        for number, question in enumerate(questions):
            x = number % 3 * _WIDTH
            panels.append(_panel(len(panels) + 1, question, x, y + number // 3 * _HEIGHT))
        y += -(-len(questions) // 3) * _HEIGHT
    return {
        "uid": "ptsys",
        "title": "ptsys",
        "tags": ["ptsys"],
        "schemaVersion": 41,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "source",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": panels,
    }


def _panel(identifier: int, question: Question, x: int, y: int) -> dict[str, Any]:
    title, unit, queries = question
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": identifier,
        "type": "timeseries",
        "title": title,
        "datasource": source,
        "gridPos": {"h": _HEIGHT, "w": _WIDTH, "x": x, "y": y},
        "fieldConfig": {
            "defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 10}},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {"refId": chr(65 + i), "datasource": source, "expr": query, "legendFormat": legend}
            for i, (query, legend) in enumerate(queries)
        ],
    }


def console() -> str:
    """The page with the same questions. Prometheus reads it as a template of Go's, so no two braces
    stand beside each other."""
    page = FILE.with_name("console_page.html").read_text(encoding="utf-8")
    rows = json.dumps(list(ROWS.items()), indent=1)
    return page.replace("@ROWS@", rows.replace("{", "\\u007b").replace("}", "\\u007d"))


if __name__ == "__main__":
    FILE.write_text(json.dumps(dashboard(), indent=1) + "\n")
    CONSOLE.write_text(console(), encoding="utf-8")
