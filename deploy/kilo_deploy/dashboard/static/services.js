// The stack's services as the dashboard asks them, and who it asks as.

import { MessagingClient } from "./kilo-messaging.js";

const STORED = "kilostack";
const CLIENT = "Client-ID";

export class Refused extends Error {}

export class Services {
  constructor(about) {
    this.about = about;
    const stored = JSON.parse(sessionStorage.getItem(STORED) ?? "{}");
    this.headers = stored.headers ?? {};
    this.name = stored.name ?? "";
    this.client = stored.client ?? newClient();
    if (about.strategy === "none" && !this.name) this.remember(about.project, { "X-Project-Id": about.project });
  }

  get known() { return this.name !== ""; }

  remember(name, headers) {
    this.name = name;
    this.headers = headers;
    sessionStorage.setItem(STORED, JSON.stringify({ name, headers, client: this.client }));
  }

  forget() {
    sessionStorage.removeItem(STORED);
    this.name = "";
    this.headers = {};
  }

  // Sign in as the stack's strategy wants it: a project, a name and password, or a token.
  async signIn({ username, password, project, token }) {
    const strategy = this.about.strategy;
    if (strategy === "none") return this.remember(project, { "X-Project-Id": project });
    if (strategy === "keystone") return this.remember("token", { "X-Auth-Token": token });
    if (strategy === "http_basic") {
      const bytes = new TextEncoder().encode(`${username}:${password}`);
      return this.remember(username, { Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` });
    }
    const domain = { id: "default" };
    const auth = {
      identity: { methods: ["password"], password: { user: { name: username, password, domain } } },
      scope: { project: { name: project, domain } },
    };
    const answer = await fetch("identity/v3/auth/tokens", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ auth }),
    });
    if (!answer.ok) throw new Refused("This name and password are not known in that project.");
    return this.remember(`${username} in ${project}`, { "X-Auth-Token": answer.headers.get("X-Subject-Token") });
  }

  async ask(service, method, path, body) {
    const headers = { ...this.headers, [CLIENT]: this.client };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const answer = await fetch(`${service}${path}`, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    if (answer.status === 401) this.forget();
    if (!answer.ok) throw new Refused(`${method} ${path}: ${answer.status} ${reason(text)}`);
    return text ? JSON.parse(text) : null;
  }

  // Send a file; `tell` hears the part that has gone, from 0 to 1.
  upload(path, file, tell) {
    return new Promise((done, failed) => {
      const request = new XMLHttpRequest();
      request.open("PUT", `catalog${path}`);
      for (const [name, value] of Object.entries(this.headers)) request.setRequestHeader(name, value);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.upload.onprogress = (event) => tell(event.loaded / (event.total || 1));
      request.onload = () => request.status < 300 ? done() : failed(new Refused(`${request.status} ${reason(request.responseText)}`));
      request.onerror = () => failed(new Refused("The upload was cut off."));
      request.send(file);
    });
  }

  // Hear what is posted on a topic, until the function that is returned is called.
  follow(topic, hear, ended) {
    const url = new URL("messaging/", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const client = new MessagingClient(url, { clientId: this.client, headers: () => this.headers });
    const listen = async () => {
      for await (const message of client.follow(topic)) hear(message.body);
    };
    listen().catch((fault) => ended(fault.message));
    return () => client.close();
  }
}

function newClient() {
  return crypto.randomUUID ? crypto.randomUUID() : "10000000-1000-4000-8000-100000000000".replace(/[018]/g,
    (digit) => (digit ^ crypto.getRandomValues(new Uint8Array(1))[0] & 15 >> digit / 4).toString(16));
}

function reason(text) {
  try {
    const body = JSON.parse(text);
    return body.description ?? body.message ?? body.error?.message ?? text;
  } catch {
    return text.replace(/<[^>]*>/g, " ").trim().slice(0, 300);
  }
}
