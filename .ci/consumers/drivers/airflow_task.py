"""A task of Airflow, called as the worker calls it."""

from support import advertiser_ids, expect, run_snippet

expect(run_snippet()["advertisers"].function(), advertiser_ids(), "what the task returns")
