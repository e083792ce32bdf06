// The page: asks the server what it shows, whenever the question changed; one question at a time, the newest last.
import { get, post, textOf } from "/static/api.js";
import { Controls, element } from "/static/controls.js";
import { draw, forPaper, redraw } from "/static/plots.js";
import * as states from "/static/state.js";
import { prepare } from "/static/tasks.js";
import { openNumbers, showTree } from "/static/why.js";

const $ = (id) => document.getElementById(id);
const PLOTS = {
  "cost-by-load": "Monthly cost of each route over the load; the numbers stand in the sentence above",
  "cumulative-cost": "Cost so far of each route by month; the totals stand in the table What you pay and need",
  "total-cost": "Total cost of each route with its range; the numbers stand in the table What you pay and need",
  energy: "Energy and carbon of each route; the numbers stand in the table of routes under Optimisation goals",
};
let state, controls, byId, presets, busy = false, waiting = false, winner = "";

async function main() {
  const start = await get("/api/start");
  byId = new Map(start.controls.map((control) => [control.id, control]));
  presets = new Map(start.presets.map((preset) => [preset.id, preset]));
  controls = new Controls($("controls"), start.controls, start.choices, moved);
  for (const preset of start.presets) $("preset").append(element("option", { value: preset.id }, preset.name));
  $("preset").addEventListener("change", () => go({ preset: $("preset").value, files: {}, set: {} }));
  for (const place of document.querySelectorAll(".task")) {
    if (!start.tasks.includes(place.dataset.kind)) continue;
    place.closest("section").hidden = false;
    prepare(place, () => states.asked(state), say);
  }
  window.addEventListener("popstate", come);
  await come();
}

// Takes the state from the address bar.
async function come() {
  try {
    state = await states.read(location.hash, byId, presets.keys().next().value);
  } catch (error) {
    state = { preset: presets.keys().next().value, files: {}, set: {} };
    fail("the address does not hold a question; this is the first one");
  }
  await ask();
}

// Goes to a new state: a step back leads to the one before.
async function go(next) {
  state = next;
  history.pushState(null, "", await states.write(state));
  await ask();
}

let settle;
function moved(control, value) {
  const set = { ...state.set, [control.id]: value };
  if (control.id === "lengths") for (const name of ["isl", "osl"]) delete set[name];
  state = { ...state, set };
  clearTimeout(settle); // one step of the history for one movement
  const stands = state;
  settle = setTimeout(async () => history.pushState(null, "", await states.write(stands)), 400);
  ask();
}

async function ask() {
  if (busy) { waiting = true; return; }
  busy = true;
  $("results").setAttribute("aria-busy", "true");
  do {
    waiting = false;
    try {
      await show(await post("/api/compare", { state: states.asked(state) }));
      $("error").hidden = true;
    } catch (error) {
      fail(error.message);
    }
  } while (waiting);
  busy = false;
  $("results").setAttribute("aria-busy", "false");
}

function fail(words) {
  $("error").textContent = words;
  $("error").hidden = false;
}

function say(words) {
  $("spoken").textContent = words;
}

async function show(found) {
  document.title = `${found.title} · steelyard`;
  for (const name of ["title", "outcome", "advice", "legend"]) $(name).textContent = found[name];
  $("break-even").textContent = found.break_even;
  for (const [name, part] of Object.entries(found.html)) fill($(name), part);
  for (const name of ["pay", "activities", "routes"]) openNumbers($(name), why);
  $("verdicts").replaceChildren(...found.verdicts.map(verdict));
  $("warnings").replaceChildren(...found.warnings.map((line) => element("li", {}, line)));
  $("warnings").hidden = !found.warnings.length;
  controls.show(found.controls, found.files);
  share(found.files);
  origin();
  const cost = found.verdicts.find((one) => one.id === "compute_cost");
  const best = cost.share ? `${cost.winner}, ${cost.share}` : cost.winner;
  if (winner && best !== winner) say(`Best on cost is now ${best}`);
  winner = best;
  performance.mark("told");
  await Promise.all(Object.entries(PLOTS).map(([name, told]) => draw($(name), found.figures[name], told)));
  performance.mark("shown");
}

// Parts of the page come as HTML, made and escaped by the server. What scrolls can be reached by keyboard.
function fill(place, part) {
  place.innerHTML = part;
  for (const box of place.querySelectorAll(".scroll")) {
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", "Table; scroll sideways");
  }
}

function verdict(one) {
  const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
  if (one.colour) swatch.style.background = one.colour;
  const button = element("button", { type: "button", title: one.criterion }, element("span", { class: "factor" }, one.factor),
    element("span", { class: "who" }, swatch, one.winner), element("span", { class: "factor" }, one.share));
  button.addEventListener("click", () => why(one.id, one.route));
  return element("li", {}, button);
}

async function why(factor, of) {
  try {
    showTree(await post("/api/explain", { state: states.asked(state), factor }), of);
  } catch (error) {
    fail(error.message);
  }
}

function origin() {
  $("preset").value = state.preset || "";
  $("about").textContent = state.yaml ? "From the file you opened." : presets.get(state.preset)?.about || "";
  $("reset").disabled = !Object.keys(state.set).length;
}

$("reset").addEventListener("click", () => go({ ...state, set: {} }));

for (const button of document.querySelectorAll("[data-whole]")) {
  button.addEventListener("click", () => {
    const whole = $(button.dataset.whole).classList.toggle("whole");
    button.setAttribute("aria-pressed", String(whole));
  });
}

// Files in ---------------------------------------------------------------------------------------------------------
$("open-scenario").addEventListener("click", () => $("scenario-file").click());
$("scenario-file").addEventListener("change", async (event) => {
  const file = event.target.files[0];
  event.target.value = "";
  if (!file) return;
  try {
    await go({ yaml: await textOf(file), files: {}, set: {} });
  } catch (error) {
    fail(error.message);
  }
});
$("open-config").addEventListener("click", () => $("paste").showModal());
$("paste-form").addEventListener("submit", async () => {
  const name = `${$("paste-name").value}.json`;
  const files = { [name]: $("paste-text").value };
  await go({ ...state, files, set: { ...state.set, model: name } });
});

// Files out --------------------------------------------------------------------------------------------------------
async function save(form) {
  try {
    const found = await post("/api/file", { state: states.asked(state), form });
    const link = element("a", { download: found.name, href: URL.createObjectURL(new Blob([found.content])) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    $("share").open = false;
  } catch (error) {
    fail(error.message);
  }
}

function share(files) {
  const buttons = files.map((name) => element("button", { type: "button", "data-file": name }, `Model (${name})`));
  $("share-files").replaceChildren(...buttons);
}

$("share").addEventListener("click", (event) => {
  const form = event.target.dataset.file;
  if (form) save(form);
});
$("share").addEventListener("keydown", (event) => { if (event.key === "Escape") $("share").open = false; });
$("copy-link").addEventListener("click", async () => {
  await navigator.clipboard.writeText(location.href);
  say("The link is copied; it opens on this machine while the page runs.");
  $("share").open = false;
});

// Colours ----------------------------------------------------------------------------------------------------------
const THEMES = { auto: "Auto", dark: "Dark", light: "Light" }; // auto: as the system
function theme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  $("theme-name").textContent = THEMES[name];
  redraw();
}
$("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme || "auto") + 1) % names.length];
  try { localStorage.setItem("theme", next); } catch (error) { /* not kept, then */ }
  theme(next);
});
theme(document.documentElement.dataset.theme || "auto");
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

let screen = ""; // the colours to come back to after printing
window.addEventListener("beforeprint", () => {
  screen = document.documentElement.dataset.theme || "auto";
  document.documentElement.dataset.theme = "light";
  forPaper(true);
});
window.addEventListener("afterprint", () => {
  forPaper(false);
  theme(screen);
});

main().catch((error) => fail(error.message));
