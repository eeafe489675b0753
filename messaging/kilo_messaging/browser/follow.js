// The whole of a page that follows a topic: where the connection breaks, it goes on from the last
// cursor. The service is beside the page, under messaging/, as the dashboard has it.
import { MessagingClient } from "./kilo-messaging.js";

const service = new URL("messaging/", location.href);
service.protocol = service.protocol.replace("http", "ws");
let client;

document.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { topic, token } = Object.fromEntries(new FormData(event.target));
  client?.close();
  client = new MessagingClient(service, { headers: () => (token ? { "X-Auth-Token": token } : {}) });
  try {
    for await (const message of client.follow(topic, { cursor: "start" })) {
      const line = document.createElement("li");
      line.textContent = JSON.stringify(message.body);
      document.querySelector("#messages").append(line);
    }
  } catch (fault) {
    document.querySelector("#trouble").textContent = fault.message;
  }
});
