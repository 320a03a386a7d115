"""The same job in Python: read, claim, redeem, stage and check at once, promote."""

import hashlib
import json
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import boto3
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

SECRET_ID = os.environ["SECRET_ID"]
TIKTOK = os.environ["TIKTOK_API_URL"]
NAMESPACE = uuid.UUID("6f0c4d3e-92b7-4c55-a1e8-3d7458c29b16")

# Clients live as long as the sandbox; making one costs more than all requests together.
secrets = boto3.client("secretsmanager", config=Config(connect_timeout=5, read_timeout=10))
http = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=10), retries=False)
pool = ThreadPoolExecutor(max_workers=2)


def handler(event, context):
    current = secrets.get_secret_value(SecretId=SECRET_ID, VersionStage="AWSCURRENT")
    document = json.loads(current["SecretString"])
    pair = fingerprint(document)
    claim(current["ARN"], pair, context)
    tokens = redeem(document)
    asked_at = time.time()
    document |= {
        "access_token": tokens["access_token"],
        "refresh_token": tokens.get("refresh_token") or document["refresh_token"],
        "access_token_expires_at": timestamp(asked_at + int(tokens["expires_in"])),
        "refreshed_at": timestamp(asked_at),
        "advertisers_fetched_at": timestamp(asked_at),
    }
    version = str(uuid.uuid5(NAMESPACE, f"{current['ARN']}\nnext\n{pair}"))
    staged = pool.submit(stage, version, document)
    advertisers = check(document)
    staged.result()
    if advertisers != document.get("advertisers"):
        document |= {"advertisers": advertisers, "advertiser_ids": [each["advertiser_id"] for each in advertisers]}
        version = str(uuid.uuid4())
        stage(version, document)
    secrets.update_secret_version_stage(
        SecretId=SECRET_ID,
        VersionStage="AWSCURRENT",
        MoveToVersionId=version,
        RemoveFromVersionId=current["VersionId"],
    )
    print(json.dumps({"outcome": "refreshed", "advertisers": len(advertisers), "requestId": context.aws_request_id}))
    return {"outcome": "refreshed", "version_id": version, "advertisers": len(advertisers)}


def fingerprint(document):
    digest = hashlib.sha256()
    for name in ("refresh_token", "access_token"):
        token = document[name].encode()
        digest.update(len(token).to_bytes(8, "big") + token)
    return digest.hexdigest()


def timestamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def claim(arn, pair, context):
    """The first to write this version may spend the refresh token."""
    body = {"fingerprint": pair, "nonce": uuid.uuid4().hex, "claimed_by": context.aws_request_id}
    try:
        secrets.put_secret_value(
            SecretId=SECRET_ID,
            ClientRequestToken=str(uuid.uuid5(NAMESPACE, f"{arn}\nclaim\n{pair}")),
            SecretString=json.dumps({"claim": body}),
            VersionStages=["TIKTOK_CLAIM"],
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceExistsException":
            raise RuntimeError("another run is refreshing this secret") from None
        raise


def redeem(document):
    body = {
        "app_id": document["app_id"],
        "secret": document["secret"],
        "grant_type": "refresh_token",
        "refresh_token": document["refresh_token"],
    }
    return tiktok("POST", "oauth2/refresh_token/", body=json.dumps(body), headers={"Content-Type": "application/json"})


def stage(version, document):
    secrets.put_secret_value(
        SecretId=SECRET_ID,
        ClientRequestToken=version,
        SecretString=json.dumps(document),
        VersionStages=["AWSPENDING"],
    )


def check(document):
    fields = {"app_id": document["app_id"], "secret": document["secret"]}
    headers = {"Access-Token": document["access_token"]}
    answer = tiktok("GET", "oauth2/advertiser/get/", fields=fields, headers=headers)
    return sorted(answer["list"], key=lambda advertiser: advertiser["advertiser_id"])


def tiktok(method, endpoint, **options):
    response = http.request(method, TIKTOK + endpoint, **options)
    answer = json.loads(response.data)
    if answer["code"] != 0:
        raise RuntimeError(f"TikTok answered with code {answer['code']} to {endpoint}")
    return answer["data"]
