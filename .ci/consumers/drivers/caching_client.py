"""AWS's caching client: what it keeps, and what makes it look again."""

import json

import requests
from aws_secretsmanager_caching import SecretCache, SecretCacheConfig
from support import expect, expect_not, refresh, run_snippet


def code(secret):
    url = "https://business-api.tiktok.com/open_api/v1.3/user/info/"
    return requests.get(url, headers={"Access-Token": secret["access_token"]}, timeout=60).json()["code"]


tiktok_secret = run_snippet()["tiktok_secret"]
# The credentials secret has the labels of claims and staged versions beside AWSCURRENT.
never_older = SecretCache(SecretCacheConfig(secret_refresh_interval=0))
first, credentials = tiktok_secret(), json.loads(never_older.get_secret_string("tiktok/ads"))
expect((code(first), code(credentials)), (0, 0), "calls before the refresh")
refresh()
expect(tiktok_secret(), first, "within its interval the cache does not look")
expect(code(first), 40105, "a call with the token before")
again = tiktok_secret(again=True)
expect_not(again["access_token"], first["access_token"], "the token that was read again")
expect(code(again), 0, "a call with the token that was read again")
expect(tiktok_secret(), again, "the cache keeps what was read again")
newer = json.loads(never_older.get_secret_string("tiktok/ads"))
expect(newer["access_token"], again["access_token"], "after its interval the cache finds the new version by itself")
