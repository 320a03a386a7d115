"""TikTok's own SDK: it lists the advertisers with the token from the secret. And the other way round: the stand-in for
TikTok is held against the SDK, its requests and its names for the codes."""

import os

from business_api_client import (
    AccountManagementApi,
    ApiClient,
    AuthenticationApi,
    Configuration,
    Oauth2AccessTokenBody,
)
from business_api_client.tiktok_business.tiktok_code import NumericErrorCodes as Codes
from business_api_client.tiktok_business.tiktok_exceptions import TiktokSDKError
from support import advertiser_ids, expect, run_snippet

# The SDK looks at no variable of the environment.
configuration = Configuration()
configuration.proxy, configuration.ssl_ca_cert = os.environ["HTTPS_PROXY"], os.environ["SSL_CERT_FILE"]
Configuration.set_default(configuration)


def refused(code, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except TiktokSDKError as error:
        expect(str(error).startswith(f"Error Code: {code}, message: "), True, f"{code} was expected: {error}")
        expect("request_id: None" in str(error), False, f"an error has a request id: {error}")
    else:
        raise SystemExit(f"{code} was expected, and the call succeeded.")


def ids(answer):
    return [one["advertiser_id"] for one in answer["data"]["list"]]


names = run_snippet()
expect([one["advertiser_id"] for one in names["advertisers"]], advertiser_ids(), "the advertisers")
expect({type(one["advertiser_name"]) for one in names["advertisers"]}, {str}, "their names")
secret = names["secret"]
app_id, app_secret, token = secret["app_id"], secret["secret"], secret["access_token"]

client = ApiClient()
authentication, account = AuthenticationApi(client), AccountManagementApi(client)
code = os.environ["TIKTOK_AUTH_CODE"]
body = Oauth2AccessTokenBody(app_id=app_id, secret=app_secret, auth_code=code)
answer = authentication.oauth2_access_token(body=body)
expect(type(answer["request_id"]), str, "the request id of the tokens")
granted = answer["data"]
expect(granted["advertiser_ids"], advertiser_ids(), "the advertisers of the grant")
listed = authentication.oauth2_advertiser_get(app_id, app_secret, granted["access_token"])
expect(ids(listed), advertiser_ids(), "the advertisers of a token that the SDK obtained")
info = account.advertiser_info(advertiser_ids(), granted["access_token"], fields=["advertiser_id", "name", "currency"])
expect(ids(info), advertiser_ids(), "the advertisers' information")
expect({tuple(sorted(one)) for one in info["data"]["list"]}, {("advertiser_id", "currency", "name")}, "its fields")

refused(Codes.ERROR_CODE_AUTH_CODE_ERROR, authentication.oauth2_access_token, body=body)
refused(Codes.ERROR_CODE_INVALID_ACCESS_TOKEN, authentication.oauth2_advertiser_get, app_id, app_secret, "no-such-token")
refused(Codes.ERROR_CODE_EMPTY_ACCESS_TOKEN, authentication.oauth2_advertiser_get, app_id, app_secret, "")
refused(Codes.ERROR_CODE_APP_FORBIDDEN, authentication.oauth2_advertiser_get, app_id, "another-secret", token)
refused(Codes.ERROR_CODE_PERMISSION_ERROR, account.advertiser_info, ["7999999999999999999"], token)
refused(Codes.ERROR_CODE_PARAM_ERROR, account.advertiser_info, [], token)
