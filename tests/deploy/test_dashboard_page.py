"""The dashboard in a real browser: signing in, an image with its bytes, a topic that fills."""

import json
from pathlib import Path

from kilo_deploy.state import StackInfo
from support.chromium import opened

# Waits until an expression is true of the page, and says what the page shows if it never is.
UNTIL = """
globalThis.until = async (true_) => {
  for (let turn = 0; turn < 1000; turn += 1) {
    if (true_()) return document.querySelector("main").innerText;
    await new Promise((again) => setTimeout(again, 20));
  }
  throw new Error(document.body.innerText);
};
globalThis.fill = (form, values) => {
  for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
  form.requestSubmit();
};
globalThis.shows = (text) => () => document.querySelector("main").innerText.includes(text);
"""
UPLOAD = """(() => {
  const form = document.querySelector("main form"), files = new DataTransfer();
  files.items.add(new File([new Uint8Array(2000000)], "disk.raw"));
  form.elements.file.files = files.files;
  fill(form, { name: "<b>by the page</b>", kind: "raw" });
})()"""

# What is posted before the page listens is not shown: it posts until it sees one.
POST = """(async () => {
  const arrivals = document.getElementById("arrivals");
  for (let turn = 0; turn < 50 && !arrivals.innerText.includes('{"x":1}'); turn += 1) {
    fill(document.querySelector("main form"), { body: '{"x": 1}' });
    await new Promise((again) => setTimeout(again, 200));
  }
  if (!arrivals.innerText.includes('{"x":1}')) throw new Error(document.body.innerText);
})()"""


def test_what_a_person_does_on_it(kilostack: StackInfo, tmp_path: Path) -> None:
    who = kilostack.accounts[0]
    wrong = json.dumps({"username": who.username, "password": "no", "project": who.project})
    right = json.dumps({"username": who.username, "password": who.password, "project": who.project})
    with opened(kilostack.dashboard_url, tmp_path / "chromium") as page:
        page.run(UNTIL)
        assert "Sign in first" in page.run("until(shows('Sign in first'))")
        page.run(f"fill(document.getElementById('who'), {wrong})")
        page.run("until(() => !document.getElementById('trouble').hidden)")
        page.run(f"fill(document.getElementById('who'), {right})")
        page.run("until(() => document.querySelector('main form'))")
        page.run(UPLOAD)
        shown = page.run("until(shows('active'))")
        assert "<b>by the page</b>" in shown  # a name stays a text
        page.run("document.querySelector('main table a').click()")
        assert "disk_format" in page.run("until(shows('disk_format'))")

        page.run("location.hash = '#topics/from-the-page'")
        page.run("until(shows('Arriving now'))")
        page.run(POST)
        page.run("location.hash = '#topics'")
        assert "from-the-page" in page.run("until(shows('catalog.events'))")
        page.run("location.hash = '#tasks'")
        page.run("until(() => !shows('catalog.events')())")
        page.run("[...document.querySelectorAll('#who button')].at(-1).click()")
        page.run("until(shows('Sign in first'))")
