// Small pieces of a page. Text always becomes text, never markup: what it says is anybody's.

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function table(headings, rows, nothing) {
  if (!rows.length) return make("p", { class: "quiet" }, nothing);
  const cell = (content) => make("td", {}, ...(Array.isArray(content) ? content : [content ?? ""]));
  return make(
    "table", {},
    make("thead", {}, make("tr", {}, ...headings.map((heading) => make("th", {}, heading)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell)))),
  );
}

export const button = (text, act) => make("button", { type: "button", onclick: act }, text);
export const state = (text) => make("span", { class: `state-${text}` }, text);
export const id = (text) => make("span", { class: "id" }, text);

export function size(bytes) {
  if (bytes === null || bytes === undefined) return "";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) { bytes /= 1024; unit += 1; }
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}
