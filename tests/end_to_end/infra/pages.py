"""What a browser does that follows no redirect."""

import urllib.error
import urllib.request
from urllib.parse import urlsplit


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def get(url, host=None):
    """Status, headers and body of an address, which may be reached under another host's name."""
    opener = urllib.request.build_opener(Stay, urllib.request.ProxyHandler({}))
    try:
        answer = opener.open(urllib.request.Request(url, headers={"Host": host} if host else {}), timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.headers, answer.read().decode()


def consent(answer):
    """Where TikTok's stand-in sends a browser that opened the link of an answer, and whose user agreed."""
    link = urlsplit(answer["results"][0]["authorize_url"])
    decision = link._replace(path="/portal/decision", query=f"{link.query}&choice=0&decision=allow")
    _, headers, _ = get(decision.geturl())
    return headers["location"]
