import { button, id, make, state, table } from "./page.js";

const KEPT = 200;

export async function topics(services) {
  const found = (await services.ask("messaging", "GET", "/v2/topics?limit=20&detailed=true&with_count=true")).topics;
  const rows = found.map((topic) => [make("a", { href: `#topics/${encodeURIComponent(topic.name)}` }, topic.name), id(JSON.stringify(topic.metadata ?? {}))]);
  return [table(["name", "metadata"], rows, "No topics yet: the first message makes one.")];
}

// One topic: what is in it, what arrives, who gets it, and how that went.
export async function topic(services, again, name, leaving) {
  const path = `/v2/topics/${encodeURIComponent(name)}`;
  const stats = (await services.ask("messaging", "GET", `${path}/stats`)).messages;
  const subscriptions = (await services.ask("messaging", "GET", `${path}/subscriptions?limit=20`).catch(() => ({ subscriptions: [] }))).subscriptions;
  const log = make("pre", { id: "arrivals" });
  const say = (line) => { log.prepend(`${line}\n`); while (log.childNodes.length > KEPT) log.lastChild.remove(); };
  leaving(services.follow(name, (body) => say(JSON.stringify(body)), say));
  return [
    make("h2", {}, name),
    make("p", {}, `${stats.free} free, ${stats.claimed} claimed, ${stats.total} in all.`),
    post(services, again, path),
    make("h3", {}, "Arriving now"), log,
    make("h3", {}, "Subscriptions"),
    table(["subscriber", "state", "why", "", ""], subscriptions.map((each) => [
      each.subscriber, state(each.state), each.reason ?? "",
      make("a", { href: `#attempts/${encodeURIComponent(name)}/${each.id}` }, "attempts"),
      button("Redeliver what failed", () => again(services.ask("messaging", "POST", `${path}/subscriptions/${each.id}/redeliver`, {}))),
    ]), "Nobody is subscribed."),
  ];
}

export async function attempts(services, again, name, subscription) {
  const path = `/v2/topics/${encodeURIComponent(name)}/subscriptions/${encodeURIComponent(subscription)}`;
  const [about, log] = await Promise.all([services.ask("messaging", "GET", path), services.ask("messaging", "GET", `${path}/attempts?limit=100`)]);
  const rows = log.attempts.map((each) => [
    each.at, id(each.message_id), each.number, state(each.result), each.status ?? "", `${each.milliseconds} ms`, each.detail,
    each.result === "failed" ? button("Redeliver", () => again(services.ask("messaging", "POST", `${path}/redeliver`, { deliveries: [each.delivery] }))) : "",
  ]);
  return [
    make("h2", {}, about.subscriber), make("p", {}, state(about.state), about.reason ? ` ${about.reason}` : ""),
    table(["at", "message", "try", "result", "status", "took", "answer", ""], rows, "No attempts yet."),
  ];
}

function post(services, again, path) {
  const send = async (event) => {
    event.preventDefault();
    const text = event.target.elements.body.value;
    let body = text;
    try { body = JSON.parse(text); } catch { /* then it is a text */ }
    await services.ask("messaging", "POST", `${path}/messages`, { messages: [{ body, ttl: 3600 }] });
  };
  return make("form", { onsubmit: (event) => again(send(event), { stay: true }) },
    make("input", { name: "body", placeholder: '{"any": "JSON", "or": "text"}', size: "50", required: true, "aria-label": "message" }),
    make("button", {}, "Post"));
}
