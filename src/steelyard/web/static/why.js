// Behind every number: the tree of terms of its factor, and what the catalogue knows of a source.
import { post } from "/static/api.js";
import { element } from "/static/controls.js";

const dialog = document.getElementById("why");
const body = document.getElementById("why-body");
const title = document.getElementById("why-title");

for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
for (const box of document.querySelectorAll("dialog")) {
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
}

// Makes the numbers of a table buttons that open the tree behind them.
export function openNumbers(table, ask) {
  for (const cell of table.querySelectorAll("td[data-why]")) {
    for (const value of cell.querySelectorAll(".value")) {
      const about = value.parentElement.querySelector(".label")?.textContent || cell.dataset.label;
      const button = element("button", { type: "button", class: "value why-button" }, value.textContent);
      button.setAttribute("aria-label", `${value.textContent}, ${cell.dataset.of.replaceAll("_", " ")}, ${about}: why`);
      button.addEventListener("click", () => ask(cell.dataset.why, cell.dataset.of));
      value.replaceWith(button);
    }
  }
}

export function showTree(found, of) {
  title.textContent = `${found.title}: how it came about`;
  body.innerHTML = found.html; // made and escaped by the server
  fold(body);
  openSources(body);
  const name = of.replaceAll("_", " ");
  const items = [...body.querySelectorAll("li")];
  const start = items.find((item) => item.firstChild.textContent.toLowerCase().startsWith(`${name}:`) ||
    item.firstChild.textContent.toLowerCase().startsWith(`${of}:`));
  if (!dialog.open) dialog.showModal();
  if (start) {
    for (let box = start.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    for (const box of start.querySelectorAll("details")) box.open = true;
    start.classList.add("asked");
    start.scrollIntoView({ block: "center" });
  } else {
    body.scrollTop = 0;
  }
  body.focus();
}

// Deep branches start closed.
function fold(root) {
  for (const list of root.querySelectorAll("li > ul")) {
    const item = list.parentElement;
    const head = element("summary");
    while (item.firstChild !== list) head.append(item.firstChild);
    const depth = depthOf(item, root);
    item.append(element("details", { open: depth < 3 }, head, list));
  }
}

function depthOf(item, root) {
  let depth = 0;
  for (let up = item.parentElement; up && up !== root; up = up.parentElement) depth += up.tagName === "UL" ? 1 : 0;
  return depth;
}

function openSources(root) {
  for (const place of root.querySelectorAll("[data-source]")) {
    const words = place.dataset.source;
    const button = element("button", { type: "button", class: "source-button" }, `source: ${words}`);
    button.addEventListener("click", async (event) => {
      event.preventDefault();
      const next = place.nextElementSibling;
      if (next?.classList.contains("record")) return next.remove();
      const found = await post("/api/source", { source: words });
      const record = element("div", { class: "record", role: "note" });
      record.innerHTML = found.html; // made and escaped by the server
      place.after(record);
    });
    place.replaceChildren(button);
  }
}
