"""What a stack for one secret costs a month, computed from the template, and the table of it in the documentation."""

from .template import PROJECT, resources, transformed

# Of us-east-1, in US dollars.
SECRET, CALLS, METRIC, ALARM_METRIC, COMPOSITE, DASHBOARD = 0.40, 0.05 / 10_000, 0.30, 0.10, 0.50, 3.00
GIGABYTE_SECOND, REQUEST, LOG_GIGABYTE = 0.0000133334, 0.20 / 1_000_000, 0.50
# What CloudWatch gives every account.
FREE_METRICS, FREE_ALARM_METRICS, FREE_DASHBOARDS = 10, 10, 3
# A month of 30 days. The hourly run refreshes at half of a token's life, so there are two refreshes a day.
HOURLY, DAILY, REFRESHES = 720, 30, 60
LOOK_CALLS, REFRESH_CALLS = 3, 9
# tests/end_to_end/infra counts them in what the function writes.
METRICS_OF_EVERY_RUN, METRICS_OF_A_REFRESH = 19, 5
MARKS = ("<!-- costs: infra/check --write -->\n", "<!-- end of costs -->")


def table():
    template = {name: it for name, it in transformed()["Resources"].items() if not name.startswith("Fleet")}
    secrets, alarms, composites, dashboards = (
        resources({"Resources": template}, f"AWS::{it}")
        for it in ("SecretsManager::Secret", "CloudWatch::Alarm", "CloudWatch::CompositeAlarm", "CloudWatch::Dashboard")
    )
    # An alarm with metric math is paid for each metric in it.
    watched = sum(max(1, sum("MetricStat" in it for it in alarm["Properties"].get("Metrics", []))) for alarm in alarms.values())
    runs = HOURLY + DAILY
    calls = (runs - REFRESHES) * LOOK_CALLS + REFRESHES * REFRESH_CALLS
    rows = [
        ("Secrets Manager, secrets", f"{len(secrets)} × {SECRET:.2f}", len(secrets) * SECRET),
        ("Secrets Manager, calls", f"({runs - REFRESHES} × {LOOK_CALLS} + {REFRESHES} × {REFRESH_CALLS}) × 0.05 / 10,000", calls * CALLS),
        ("CloudWatch, metrics of every run", f"{METRICS_OF_EVERY_RUN} × {METRIC:.2f}", METRICS_OF_EVERY_RUN * METRIC),
        (
            "CloudWatch, further metrics of a refresh, billed by the hour",
            f"{METRICS_OF_A_REFRESH} × {METRIC:.2f} × 2 / 24",
            METRICS_OF_A_REFRESH * METRIC * 2 / 24,
        ),
        (f"CloudWatch, {len(alarms)} alarms over {watched} metrics", f"{watched} × {ALARM_METRIC:.2f}", watched * ALARM_METRIC),
        ("CloudWatch, the composite alarm that pages", f"{len(composites)} × {COMPOSITE:.2f}", len(composites) * COMPOSITE),
        ("CloudWatch, dashboard", f"{len(dashboards)} × {DASHBOARD:.2f}", len(dashboards) * DASHBOARD),
        ("CloudWatch Logs", f"{runs} × 4 KB × {LOG_GIGABYTE:.2f} / GB", runs * 4e-6 * LOG_GIGABYTE),
        ("Lambda, arm64, 128 MB, 1 s at most", f"{runs} × (0.125 GB × {GIGABYTE_SECOND:.10f} + 0.0000002)", runs * (0.125 * GIGABYTE_SECOND + REQUEST)),
        ("EventBridge Scheduler, SQS, SNS email, X-Ray", "free for every account at this rate", 0.0),
    ]
    # Sums of what is shown, so that a reader who adds up gets the same.
    total = sum(round(cost, 2) for _, _, cost in rows)
    free = min(METRICS_OF_EVERY_RUN, FREE_METRICS) * METRIC + min(watched, FREE_ALARM_METRICS) * ALARM_METRIC
    free += min(len(dashboards), FREE_DASHBOARDS) * DASHBOARD
    lines = ["| what | arithmetic | US dollars a month |", "|---|---|---|"]
    lines += [f"| {what} | {how} | {cost:.2f} |" for what, how, cost in rows]
    lines += [f"| **all** | | **{total:.2f}** |"]
    lines += [f"| after the 10 metrics, 10 alarms and 3 dashboards that are free | {total:.2f} − {free:.2f} | **{total - free:.2f}** |"]
    return "\n".join(lines) + "\n"


def pages():
    return [page for page in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("infra/*.md")) if MARKS[0] in page.read_text()]


def shown(page):
    """The table that a page has."""
    return page.read_text().partition(MARKS[0])[2].partition(MARKS[1])[0]


def write():
    for page in pages():
        page.write_text(page.read_text().replace(shown(page), table()))
