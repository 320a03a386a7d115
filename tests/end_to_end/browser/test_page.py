"""The browser's way to authorize, with a real Chromium: from the link through TikTok's page for consent to the function's page."""

import os
import shutil
import subprocess
import time
from urllib.parse import urlsplit

import pytest
import requests
from support import TARGET, consent

PHONE, SMALLEST, DESKTOP = (390, 844), (320, 568), (1024, 900)
CONNECTED, BROKEN_LINK, DECLINED = "TikTok is connected", "This link does not work", "TikTok is not connected"
SCREENSHOTS = TARGET / "ci/screenshots"
# The least contrast of any text with what is behind it, as WCAG counts it.
CONTRAST = """() => {
const rgb = color => color.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
const behind = node => { const c = rgb(getComputedStyle(node).backgroundColor); return c[3] === 0 ? behind(node.parentElement) : c; };
const ratios = [...document.querySelectorAll('h1,h2,p,li,code,small,time,bdi,footer')].map(node => {
  const [a, b] = [rgb(getComputedStyle(node).color), behind(node)].map(light).sort((x, y) => y - x);
  return (a + .05) / (b + .05);
});
return Math.min(...ratios);
}"""
FACTS = "[document.documentElement.lang, document.scripts.length, getComputedStyle(document.body).marginTop]"


@pytest.fixture(scope="session")
def browser_type_launch_args():
    # Names are resolved for the stand-ins' host alone: Chromium itself may not call home either.
    hosts = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server", hosts]
    return {"executable_path": shutil.which("chromium"), "args": arguments}


@pytest.fixture(scope="session")
def browser_context_args():
    return {"no_viewport": True}


@pytest.fixture(scope="session")
def httpserver_listen_address():
    # Another site than the function's, which is localhost.
    return "127.0.0.1", 0


@pytest.fixture(scope="session")
def link():
    """Asks the function behind a Function URL for a link."""
    command = [TARGET / "debug/examples/authorize_page"]
    built = os.environ | {"TEST_BOOTSTRAP": str(TARGET / "debug/tiktok-token-refresh")}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1, env=built) as running:

        def printed():
            return next(line.strip() for line in running.stdout if line.startswith("http"))

        def link():
            # One that is made in the second of an authorization counts as older than that.
            time.sleep(1.1)
            running.stdin.write("\n")
            return printed()

        printed()
        yield link
        running.terminate()


class Visit:
    """A page in the browser, with what it loads and says since it was opened."""

    def __init__(self, page):
        self.page, self.answers, self.said = page, [], []
        page.on("response", lambda answer: self.answers.append(answer))
        page.on("console", lambda message: self.said.append(message))
        self.devtools = page.context.new_cdp_session(page)

    def open(self, url):
        self.answers.clear()
        self.said.clear()
        self.page.goto(url)

    def decide(self, link, decision, choice=0):
        self.open(link)
        assert "stand-in" in self.page.title()
        self.page.check(f"input[name=choice][value='{choice}']")
        self.page.click(f"button[value={decision}]")
        self.page.wait_for_url(lambda url: "/portal/" not in url)

    def text(self, selector="article"):
        return self.page.inner_text(selector)

    def texts(self, selector):
        return self.page.locator(f"{selector}:visible").all_inner_texts()

    def size(self, width, height):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools.send("Emulation.setDeviceMetricsOverride", metrics)

    def shows(self, heading, status, name, others=()):
        """Checks the rules that hold for every page, and takes pictures of it."""
        page = self.page
        assert (page.title(), self.text("h1")) == (heading, heading)
        hosts = {urlsplit(answer.url).netloc for answer in self.answers}
        mine = urlsplit(page.url).netloc
        assert hosts - {urlsplit(other).netloc for other in others} == {mine}, "The page asked other hosts."
        assert [(it.url, it.status) for it in self.answers if urlsplit(it.url).netloc == mine] == [(page.url, status)]
        said = [it.text for it in self.said if urlsplit(it.location["url"]).netloc == mine]
        assert status != 200 or said == []
        assert not [text for text in said if "Content Security Policy" in text]
        assert page.evaluate(FACTS) == ["en", 0, "0px"], "No language, a script, or no style."
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(CONTRAST) >= 4.5
            for kind, size in (("desktop", DESKTOP), ("phone", PHONE), ("smallest", SMALLEST)):
                self.size(*size)
                assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
                if kind != "smallest":
                    page.screenshot(path=SCREENSHOTS / f"{name}-{kind}-{scheme}.png", full_page=True)
        return True


@pytest.fixture
def visit(page):
    return Visit(page)


def test_the_link_leads_to_the_page_once(visit, link):
    link = link()
    visit.decide(link, "allow")
    assert visit.shows(CONNECTED, 200, "connected", [link])
    assert visit.texts(".list bdi") == ["First Advertiser", "Zweite Werbung GmbH"]
    times = visit.texts("time")
    assert len(times) == 2 and times[0].endswith(" UTC")
    visit.open(visit.page.url)
    assert visit.shows(BROKEN_LINK, 400, "used")
    assert "used" in visit.text("h1 + p")


def test_the_page_says_that_consent_was_declined(visit, link):
    link = link()
    visit.decide(link, "deny")
    assert visit.shows(DECLINED, 400, "declined", [link])


def test_a_long_term_token_has_no_end(visit, link):
    link = link()
    visit.decide(link, "allow", choice=1)
    assert visit.shows(CONNECTED, 200, "long-term", [link])
    assert "no end" in visit.text() and visit.texts("time") == []


def test_of_sixty_advertisers_ten_are_shown_and_forty_behind_a_fold(visit, link):
    link = link()
    visit.decide(link, "allow", choice=2)
    assert visit.shows(CONNECTED, 200, "many", [link])
    assert len(visit.texts(".list li")) == 10 and visit.text("summary") == "40 more"
    visit.page.click("summary")
    assert len(visit.texts(".list li")) == 50 and visit.text("small") == "and 10 more, which are not shown here."


def test_markup_in_names_is_text(visit, link):
    link = link()
    visit.decide(link, "allow", choice=3)
    assert visit.shows(CONNECTED, 200, "hostile", [link])
    names = visit.texts(".list bdi")
    assert names[0] == "<script>document.title = 'script ran'</script>" and len(names) == 5
    assert visit.page.locator("script,img,b").count() == 0


def test_another_site_that_frames_or_embeds_the_redirect_spends_nothing(visit, link, httpserver):
    redirect = consent(link())
    html = f"<title>elsewhere</title><iframe src='{redirect}'></iframe><img src='{redirect}'><link rel=prefetch href='{redirect}'>"
    httpserver.expect_request("/").respond_with_data(html, content_type="text/html")
    visit.open(httpserver.url_for("/"))
    assert {answer.status for answer in visit.answers if answer.url == redirect} == {404}
    # Then a person opens it.
    visit.open(redirect)
    assert visit.shows(CONNECTED, 200, "after")


@pytest.mark.parametrize("path", ["/", "/favicon.ico", "/callback", "/callback/", "/robots.txt"])
def test_other_addresses_are_not_found(link, path):
    parts = urlsplit(consent(link()))
    assert requests.get(f"{parts.scheme}://{parts.netloc}{path}").status_code == 404


def test_it_works_without_scripts(browser, browser_context_args, link):
    with browser.new_context(**browser_context_args, java_script_enabled=False) as context:
        visit = Visit(context.new_page())
        visit.open("data:text/html,<title>off</title><script>document.title = 'on'</script>")
        assert visit.page.title() == "off"
        visit.decide(link(), "allow")
        assert visit.text("h1") == CONNECTED
