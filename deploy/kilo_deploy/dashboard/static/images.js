import { button, id, make, size, state, table } from "./page.js";

const KINDS = ["raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "iso"];

// The project's images: made, filled, shown and removed.
export async function images(services, again) {
  const found = (await services.ask("catalog", "GET", "/v2/images?limit=100&sort=created_at:desc")).images;
  const rows = found.map((image) => [
    make("a", { href: `#images/${image.id}` }, image.name ?? image.id), state(image.status),
    image.disk_format ?? "", size(image.size), image.visibility,
    button("Delete", () => again(services.ask("catalog", "DELETE", `/v2/images/${image.id}`))),
  ]);
  return [upload(services, again), table(["name", "status", "format", "size", "visibility", ""], rows, "No images yet.")];
}

export async function image(services, again, imageId) {
  const path = `/v2/images/${encodeURIComponent(imageId)}`;
  const found = await services.ask("catalog", "GET", path);
  const inside = await services.ask("catalog", "GET", `${path}/introspection`).catch(() => null);
  const rows = Object.entries(found).map(([name, value]) => [name, id(typeof value === "string" ? value : JSON.stringify(value))]);
  return [
    make("h2", {}, found.name ?? found.id), table(["property", "value"], rows, ""),
    inside && make("h3", {}, "What its bytes are"), inside && make("pre", {}, JSON.stringify(inside, null, 2)),
  ].filter(Boolean);
}

function upload(services, again) {
  const bar = make("progress", { max: "1", value: "0", hidden: true });
  const send = async (event) => {
    event.preventDefault();
    const form = event.target.elements;
    const file = form.file.files[0];
    const made = await services.ask("catalog", "POST", "/v2/images", {
      name: form.name.value || file.name, disk_format: form.kind.value, container_format: "bare",
    });
    bar.hidden = false;
    await services.upload(`/v2/images/${made.id}/file`, file, (part) => { bar.value = part; });
  };
  return make("form", { onsubmit: (event) => again(send(event)) },
    make("input", { name: "name", placeholder: "name", "aria-label": "name" }),
    make("select", { name: "kind", "aria-label": "format" }, ...KINDS.map((kind) => make("option", {}, kind))),
    make("input", { name: "file", type: "file", required: true, "aria-label": "file" }),
    make("button", {}, "Upload"), bar);
}
