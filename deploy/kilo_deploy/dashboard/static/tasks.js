import { id, state, table } from "./page.js";

export async function tasks(services) {
  const found = (await services.ask("catalog", "GET", "/v2/tasks?limit=50&sort_key=created_at&sort_dir=desc")).tasks;
  const rows = found.map((task) => [id(task.id), task.type, state(task.status), task.created_at, task.message ?? ""]);
  return [table(["id", "type", "status", "created", "message"], rows, "No tasks yet: imports and conversions show up here.")];
}
