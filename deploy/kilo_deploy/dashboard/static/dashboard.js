// What is shown follows the address: #images, #images/ID, #tasks, #topics, #topics/NAME, #attempts/NAME/ID.
import { image, images } from "./images.js";
import { make } from "./page.js";
import { Services } from "./services.js";
import { tasks } from "./tasks.js";
import { attempts, topic, topics } from "./topics.js";

const TABS = ["images", "tasks", "topics"];
const VIEWS = { images: [images, image], tasks: [tasks], topics: [topics, topic], attempts: [null, attempts] };
const part = (name) => document.getElementById(name);
const services = new Services(await (await fetch("stack.json")).json());
let leave = () => {};

async function show() {
  leave();
  leave = () => {};
  const [tab, ...names] = (location.hash.slice(1) || TABS[0]).split("/").map(decodeURIComponent);
  part("tabs").replaceChildren(...TABS.map((each) => make("a", { href: `#${each}`, "aria-current": each === (tab === "attempts" ? "topics" : tab) && "page" }, each)));
  part("who").replaceChildren(...who());
  if (!services.known) return part("view").replaceChildren(make("p", {}, "Sign in first, at the top of the page."));
  const view = (VIEWS[tab] ?? VIEWS.images)[names.length ? 1 : 0] ?? images;
  try {
    part("view").replaceChildren(...await view(services, again, ...names, (end) => { leave = end; }));
    part("trouble").hidden = true;
  } catch (error) {
    trouble(error);
  }
}

// Wait for what was asked for, and show the view anew, or what went wrong.
async function again(work, { stay = false } = {}) {
  try {
    await work;
    part("trouble").hidden = true;
    if (!stay) await show();
  } catch (error) {
    trouble(error);
  }
}

function trouble(error) {
  part("trouble").textContent = error.message;
  part("trouble").hidden = false;
  part("who").replaceChildren(...who());
}

function who() {
  const strategy = services.about.strategy;
  if (services.known && strategy !== "none") {
    const out = make("button", { type: "button", onclick: () => { services.forget(); show(); } }, "Sign out");
    return [make("span", {}, services.name), out];
  }
  const input = (name, value = "", type = "text") => make("input", { name, value, type, placeholder: name, "aria-label": name, required: true, size: 12 });
  const first = services.about.accounts[0] ?? {};
  const wanted = {
    none: [input("project", services.name)],
    http_basic: [input("username", first.username), input("password", "", "password")],
    keystone: [input("token", "", "password")],
    dev: [input("username", first.username), input("password", "", "password"), input("project", first.project)],
  }[strategy] ?? [];
  return [...wanted, make("button", {}, strategy === "none" ? "Use project" : "Sign in")];
}

part("who").addEventListener("submit", (event) => {
  event.preventDefault();
  again(services.signIn(Object.fromEntries(new FormData(event.target))));
});
addEventListener("hashchange", show);
show();
