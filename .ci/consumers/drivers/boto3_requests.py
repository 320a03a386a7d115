"""boto3 and requests: a job that runs while a refresh happens reads the secret again, once."""

from support import expect, expect_not, refresh, run_snippet

names = run_snippet()
tiktok = names["tiktok"]
expect((names["campaigns"]["code"], names["campaigns"]["data"]["list"]), (0, []), "the campaigns, of which there are none")

reads, read = [], tiktok.read
tiktok.read = lambda: (reads.append(1), read())
old = tiktok.secret["access_token"]
refresh()
expect(tiktok.get("user/info/")["code"], 0, "a call after the refresh")
expect_not(tiktok.secret["access_token"], old, "the token after the refresh")
expect(len(reads), 1, "reads after the refresh")
expect((tiktok.get("user/info/")["code"], len(reads)), (0, 1), "the next call, and no further read")

tiktok.secret_id = "tiktok/ads/withdrawn"
tiktok.read()
reads.clear()
expect((tiktok.get("user/info/")["code"], len(reads)), (40105, 1), "a token that is dead for good is read again once")
