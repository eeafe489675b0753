"""The browser module in a real browser, beside a real stack that is killed in the middle."""

import importlib.resources
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kilo_deploy.accounts import sign_in
from kilo_deploy.client import ApiClient
from kilo_deploy.state import StackInfo
from kilo_deploy.testing import StackProcess
from support.chromium import Page, opened

NAMES = {"Client-ID": "0" * 32}
MODULE = importlib.resources.files("kilo_messaging.browser") / "kilo-messaging.js"
CONNECT = """
(async () => {
  const { MessagingClient } = await import("/kilo-messaging.js");
  const url = location.origin.replace("http", "ws") + "/messaging/";
  globalThis.client = new MessagingClient(url, { headers: () => (HEADERS), attempts: 30 });
  globalThis.seen = [];
  globalThis.until = async (count) => {
    while (seen.length < count) await new Promise((again) => setTimeout(again, 10));
    return seen.map((message) => message.body);
  };
})()
"""


def test_the_module_is_small_and_depends_on_nothing() -> None:
    text = MODULE.read_text()
    assert len(text.encode()) < 10_000
    assert "import " not in text.replace("import { MessagingClient }", "")


class Beside:
    """A stack that can be killed and started again on the same ports."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.process = StackProcess(folder)
        self.info: StackInfo = self.process.wait_ready()

    def restart(self) -> None:
        self.process.kill()
        ports = {
            name: url.rpartition(":")[2]
            for name, url in {
                "KILO_DASHBOARD__HTTP__PORT": self.info.dashboard_url,
                "KILO_MESSAGING__HTTP__PORT": self.info.messaging_url,
            }.items()
        }
        self.process = StackProcess(self._folder, environ=ports)
        self.info = self.process.wait_ready()

    def post(self, topic: str, *bodies: object) -> None:
        headers = sign_in(self.info, self.info.project, {}) | NAMES
        messages = [{"body": each, "ttl": 600} for each in bodies]
        client = ApiClient(self.info.messaging_url, headers)
        client.json("POST", f"/v2/topics/{topic}/messages", {"messages": messages})


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    beside = Beside(tmp_path_factory.mktemp("beside"))
    yield beside
    beside.process.kill()


@pytest.fixture(scope="module")
def page(stack: Beside, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("chromium")
    with opened(f"{stack.info.dashboard_url}/follow.html", folder) as made:
        headers: Any = sign_in(stack.info, stack.info.project, {})
        made.run(CONNECT.replace("HEADERS", str(dict(headers))))
        yield made


def test_a_page_posts_and_asks(page: Page) -> None:
    ids = page.run('client.post("work", { job: 1 }, "two")')
    assert len(ids) == 2
    claimed = page.run('client.ask("claim_create", { queue_name: "work", limit: 5 })')
    assert [message["body"] for message in claimed["messages"]] == [{"job": 1}, "two"]


def test_a_refusal_has_its_status_and_code(page: Page) -> None:
    found = page.run(
        'client.ask("queue_create", { queue_name: "a b" })'
        ".catch(({ name, status, code }) => ({ name, status, code }))"
    )
    assert found == {
        "name": "RequestRefused",
        "status": 400,
        "code": "messaging.topic.name_invalid",
    }


def test_what_cannot_be_followed_says_so(page: Page) -> None:
    script = """(async () => {
      for await (const message of client.follow("work", { cursor: "nonsense" })) return message;
    })().catch(({ status }) => status)"""
    assert page.run(script) == 400


def test_where_nothing_answers_a_page_is_told(page: Page) -> None:
    script = """import("/kilo-messaging.js").then(async ({ MessagingClient }) => {
      const nobody = new MessagingClient(location.origin.replace("http", "ws") + "/catalog/");
      return nobody.post("x", 1).catch((fault) => fault.name);
    })"""
    assert page.run(script) == "ServiceUnreachable"


def test_the_example_shows_a_topic(page: Page, stack: Beside) -> None:
    stack.post("news", "first")
    token = sign_in(stack.info, stack.info.project, {}).get("X-Auth-Token", "")
    page.run(
        f'document.querySelector("[name=token]").value = "{token}";'
        'document.querySelector("form").requestSubmit();'
    )
    stack.post("news", {"second": 2})
    shown = page.run("""(async () => {
      const lines = () => [...document.querySelectorAll("#messages li")].map((x) => x.textContent);
      while (lines().length < 2) await new Promise((again) => setTimeout(again, 10));
      return lines();
    })()""")
    assert shown == ['"first"', '{"second":2}']


def test_an_event_source_follows_with_a_signed_url_and_comes_back(
    page: Page, stack: Beside
) -> None:
    stack.post("events", 1)
    page.run("""(async () => {
      const wanted = { topic_name: "events", paths: ["messages"], methods: ["GET"] };
      const signed = await client.ask("topic_share", wanted);
      const query = new URLSearchParams({
        "URL-Signature": signed.signature, "URL-Expires": signed.expires, "URL-Methods": "GET",
        "URL-Paths": signed.paths[0], "X-Project-ID": signed.project, cursor: "start",
      });
      globalThis.heard = [];
      globalThis.source = new EventSource(`/messaging${signed.paths[0]}?${query}`);
      source.onmessage = (event) => heard.push(JSON.parse(event.data).body);
      globalThis.untilHeard = async (count) => {
        while (heard.length < count) await new Promise((again) => setTimeout(again, 10));
        return heard;
      };
    })()""")
    stack.post("events", 2)
    assert page.run("untilHeard(2)") == [1, 2]
    stack.restart()
    stack.post("events", 3)
    assert page.run("untilHeard(3)") == [1, 2, 3]
    page.run("source.close()")


def test_the_dashboard_shows_what_arrives(page: Page, stack: Beside) -> None:
    headers = dict(sign_in(stack.info, stack.info.project, {}))
    found = page.run(f"""(async () => {{
      const {{ Services }} = await import("/services.js");
      const services = new Services({{ strategy: "dev", project: "demo" }});
      services.remember("me", {headers});
      const heard = [];
      const leave = services.follow("board", (body) => heard.push(body), (why) => heard.push(why));
      for (let number = 1; heard.length < 2; number++) {{
        const body = {{ messages: [{{ body: number }}] }};
        await services.ask("messaging", "POST", "/v2/topics/board/messages", body);
        await new Promise((again) => setTimeout(again, 50));
      }}
      leave();
      return heard.slice(0, 2);
    }})()""")
    assert found[1] == found[0] + 1


def test_a_stack_that_is_killed_costs_no_message_and_no_duplicate(
    page: Page, stack: Beside
) -> None:
    stack.post("log", 1, 2)
    page.run("""(async () => {
      for await (const message of client.follow("log", { cursor: "start" })) seen.push(message);
    })().catch((fault) => seen.push({ body: String(fault) })); null""")
    assert page.run("until(2)") == [1, 2]
    stack.post("log", 3)
    stack.restart()
    stack.post("log", 4)
    assert page.run("until(4)") == [1, 2, 3, 4]
    page.run("client.close()")
