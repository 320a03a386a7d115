"""The monthly cost of a stack, computed from the template, and the tables of it in the documentation."""

from .stack import Stack
from .template import PROJECT, resources, transformed

# Of us-east-1, in US dollars.
SECRET, CALLS, METRIC, ALARM_METRIC, COMPOSITE, DASHBOARD = 0.40, 0.05 / 10_000, 0.30, 0.10, 0.50, 3.00
GIGABYTE_SECOND, REQUEST, LOG_GIGABYTE, TRANSITION = 0.0000133334, 0.20 / 1_000_000, 0.50, 0.025 / 1_000
# Free for every account, of CloudWatch.
FREE_METRICS, FREE_ALARM_METRICS, FREE_DASHBOARDS = 10, 10, 3
# A month of 30 days. The hourly run refreshes at half of a token's life, so there are two refreshes a day.
HOURLY, DAILY, REFRESHES = 720, 30, 60
RUNS = HOURLY + DAILY
LOOK_CALLS, REFRESH_CALLS = 3, 9
# tests/end_to_end/infra counts them in what the function writes.
METRICS_OF_EVERY_RUN, METRICS_OF_A_REFRESH = 19, 5
# Of a fleet, as benches/README.md has measured them: secrets a second, seconds that a look at ten thousand takes, metrics, and calls.
FLEET, STATE_MACHINE = {"FleetName": "agency"}, {"CreateFleetStateMachine": "true"}
FLEET_RATE, FLEET_LOOK, FLEET_METRICS, FLEET_REFRESH_CALLS, FLEET_LOOK_CALLS = 4, 6, 25, 4, 0.06
# The state machine gathers so many secrets at a time, in at most so many transitions. It names them to the function, which then
# reads each by itself (docs/design.md counts the requests of a run with nothing to do), and writes a line for each.
GATHERED, TRANSITIONS, NAMED_LOOK_CALLS, NAMED_LOOK_LOG = 400, 90, 2, 2e-6
SIZES = (100, 1_000, 10_000)


class Parts:
    """The parts of a stack that cost something each month."""

    def __init__(self, **given):
        template = {"Resources": Stack(transformed(), **given).resources()}
        self.secrets, self.alarms, self.composites, self.dashboards = (
            resources(template, f"AWS::{it}")
            for it in ("SecretsManager::Secret", "CloudWatch::Alarm", "CloudWatch::CompositeAlarm", "CloudWatch::Dashboard")
        )
        # An alarm with metric math is paid for each metric in it.
        metrics = (alarm["Properties"].get("Metrics", []) for alarm in self.alarms.values())
        self.watched = sum(max(1, sum("MetricStat" in it for it in each)) for each in metrics)


def of_one():
    """The rows of a stack for one secret, the sum, and what CloudWatch's free tier takes off it."""
    parts = Parts()
    calls = (RUNS - REFRESHES) * LOOK_CALLS + REFRESHES * REFRESH_CALLS
    rows = [
        ("Secrets Manager, secrets", f"{len(parts.secrets)} × {SECRET:.2f}", len(parts.secrets) * SECRET),
        ("Secrets Manager, calls", f"({RUNS - REFRESHES} × {LOOK_CALLS} + {REFRESHES} × {REFRESH_CALLS}) × 0.05 / 10,000", calls * CALLS),
        ("CloudWatch, metrics of every run", f"{METRICS_OF_EVERY_RUN} × {METRIC:.2f}", METRICS_OF_EVERY_RUN * METRIC),
        (
            "CloudWatch, further metrics of a refresh, billed by the hour",
            f"{METRICS_OF_A_REFRESH} × {METRIC:.2f} × 2 / 24",
            METRICS_OF_A_REFRESH * METRIC * 2 / 24,
        ),
        (f"CloudWatch, {len(parts.alarms)} alarms over {parts.watched} metrics", f"{parts.watched} × {ALARM_METRIC:.2f}", parts.watched * ALARM_METRIC),
        ("CloudWatch, the composite alarm that pages", f"{len(parts.composites)} × {COMPOSITE:.2f}", len(parts.composites) * COMPOSITE),
        ("CloudWatch, dashboard", f"{len(parts.dashboards)} × {DASHBOARD:.2f}", len(parts.dashboards) * DASHBOARD),
        ("CloudWatch Logs", f"{RUNS} × 4 KB × {LOG_GIGABYTE:.2f} / GB", RUNS * 4e-6 * LOG_GIGABYTE),
        ("Lambda, arm64, 128 MB, 1 s at most", f"{RUNS} × (0.125 GB × {GIGABYTE_SECOND:.10f} + 0.0000002)", RUNS * (0.125 * GIGABYTE_SECOND + REQUEST)),
        ("EventBridge Scheduler, SQS, SNS email, X-Ray", "free for every account at this rate", 0.0),
    ]
    # Sums of what is shown, so that a reader who adds up gets the same.
    total = sum(round(cost, 2) for _, _, cost in rows)
    free = min(METRICS_OF_EVERY_RUN, FREE_METRICS) * METRIC + min(parts.watched, FREE_ALARM_METRICS) * ALARM_METRIC
    free += min(len(parts.dashboards), FREE_DASHBOARDS) * DASHBOARD
    return rows, total, free


def table_of_one():
    rows, total, free = of_one()
    lines = ["| what | arithmetic | US dollars a month |", "|---|---|---|"]
    lines += [f"| {what} | {how} | {cost:.2f} |" for what, how, cost in rows]
    lines += [f"| **all** | | **{total:.2f}** |"]
    lines += [f"| after the 10 metrics, 10 alarms and 3 dashboards that are free | {total:.2f} − {free:.2f} | **{total - free:.2f}** |"]
    return "\n".join(lines) + "\n"


def table_of_a_fleet():
    """The cost of a fleet of each size, which every row says how to compute; and what the state machine adds."""
    parts, with_machine = Parts(**FLEET), Parts(**FLEET | STATE_MACHINE)
    looks, more = RUNS - REFRESHES, with_machine.watched - parts.watched
    rows = [
        ("secrets", f"{SECRET:.2f} N", lambda n: n * SECRET),
        (
            "requests of refreshes",
            f"{REFRESHES} × {FLEET_REFRESH_CALLS} N × 0.05 ÷ 10,000 (with `app_secret_id` one more)",
            lambda n: REFRESHES * FLEET_REFRESH_CALLS * n * CALLS,
        ),
        ("requests of hourly runs", f"{RUNS} × {FLEET_LOOK_CALLS} N × 0.05 ÷ 10,000", lambda n: RUNS * FLEET_LOOK_CALLS * n * CALLS),
        (
            "Lambda, arm64, 128 MB",
            f"({REFRESHES} × N ÷ {FLEET_RATE} s + {RUNS} × N ÷ 10,000 × {FLEET_LOOK} s) × 0.125 GB × {GIGABYTE_SECOND:.10f}",
            lambda n: (REFRESHES * n / FLEET_RATE + RUNS * n / 10_000 * FLEET_LOOK) * 0.125 * GIGABYTE_SECOND,
        ),
        (
            "CloudWatch Logs",
            f"({REFRESHES} × 3.3 kB × N + {RUNS} × 0.8 kB) × {LOG_GIGABYTE:.2f} a GB",
            lambda n: (REFRESHES * 3.3e-6 * n + RUNS * 0.8e-6) * LOG_GIGABYTE,
        ),
        ("CloudWatch, metrics", f"about {FLEET_METRICS} × {METRIC:.2f}; independent of N", lambda n: FLEET_METRICS * METRIC),
        (
            "CloudWatch, alarms and dashboard",
            f"{len(parts.alarms)} alarms over {parts.watched} metrics × {ALARM_METRIC:.2f}, one that pages {COMPOSITE:.2f}, {DASHBOARD:.2f}",
            lambda n: parts.watched * ALARM_METRIC + len(parts.composites) * COMPOSITE + len(parts.dashboards) * DASHBOARD,
        ),
    ]
    of_the_machine = [
        (
            "state machine, transitions at most",
            f"{RUNS} × {TRANSITIONS} × N ÷ {GATHERED} × 0.025 ÷ 1,000",
            lambda n: RUNS * TRANSITIONS * n / GATHERED * TRANSITION,
        ),
        (
            "state machine, requests of hourly runs",
            f"{looks} × {NAMED_LOOK_CALLS} N × 0.05 ÷ 10,000",
            lambda n: looks * NAMED_LOOK_CALLS * n * CALLS,
        ),
        ("state machine, logs of hourly runs", f"{looks} × 2 kB × N × {LOG_GIGABYTE:.2f} a GB", lambda n: looks * NAMED_LOOK_LOG * n * LOG_GIGABYTE),
        ("state machine, its alarm", f"{more} metrics × {ALARM_METRIC:.2f}", lambda n: more * ALARM_METRIC),
    ]
    lines = ["| item | calculation for N secrets | " + " | ".join(f"{n:,}" for n in SIZES) + " |", "|---|---|--:|--:|--:|"]
    for added, total in ((rows, "all"), (of_the_machine, "all, with the state machine")):
        lines += [f"| {what} | {how} | " + " | ".join(f"{cost(n):,.2f}" for n in SIZES) + " |" for what, how, cost in added]
        summed = rows if added is rows else rows + of_the_machine
        sums = [sum(round(cost(n), 2) for _, _, cost in summed) for n in SIZES]
        lines += [f"| **{total}** | | " + " | ".join(f"**{it:,.2f}**" for it in sums) + " |"]
    return "\n".join(lines) + "\n"


TABLES = {"costs": table_of_one, "costs of a fleet": table_of_a_fleet}


def parts_of(text, name):
    """A page before a table, the table, and the rest of the page."""
    before, mark, rest = text.partition(f"<!-- {name}: infra/check --write -->\n")
    table, end, after = rest.partition(f"<!-- end of {name} -->")
    return before + mark, table, end + after


def pages(name):
    found = (*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("infra/*.md"))
    return [page for page in found if parts_of(page.read_text(), name)[1]]


def sums():
    """Sentences about the sum, which README.md and docs/cost.md have in these words."""
    _, total, free = of_one()
    return {
        "README.md": f"One stack costs about {total - free:.1f}0 US dollars a month within CloudWatch's free tier and {total:.1f}0 without.",
        "docs/cost.md": f"One stack with one secret costs about {total:.1f}0 US dollars a month, or {total - free:.1f}0 after CloudWatch's free tier.",
    }


def write():
    for name, table in TABLES.items():
        for page in pages(name):
            before, _, after = parts_of(page.read_text(), name)
            page.write_text(before + table() + after)
