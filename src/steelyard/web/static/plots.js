// Draws figures with Plotly once it has loaded, in the colours of the page.
const shown = new Map();
const PAPER = { width: 690, height: 300 }; // px that fit A4 and Letter upright
let size = {};
const ready = new Promise((resolve) => {
  const script = document.getElementById("plotly");
  if (window.Plotly) resolve();
  else script.addEventListener("load", resolve);
});

function ink() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(name).trim();
}

// A figure is drawn when it comes near the screen, so that moving a slider costs only what can be seen.
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    near.set(entry.target, entry.isIntersecting);
    if (entry.isIntersecting) paint(entry.target);
  }
}, { rootMargin: "200px" });
const near = new Map();

export async function draw(place, figure, told) {
  place.closest("figure")?.toggleAttribute("hidden", !figure);
  shown.set(place, { figure, told, painted: false });
  if (!near.has(place)) {
    near.set(place, false);
    seen.observe(place);
  }
  if (near.get(place)) await paint(place);
}

async function paint(place) {
  const asked = shown.get(place);
  if (!asked?.figure || asked.painted) return;
  asked.painted = true;
  await ready;
  if (shown.get(place) !== asked) return; // a newer one came meanwhile
  const { figure, told } = asked;
  const colour = ink();
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line") };
  const layout = {
    ...figure.layout,
    ...size,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("--ink"), size: 13, family: getComputedStyle(document.body).fontFamily },
  };
  const narrow = place.clientWidth < 480;
  for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
    const title = { ...layout[name].title, font: { size: 13 } };
    layout[name] = { ...axis, ...layout[name], title, fixedrange: true };
    if (narrow && name.startsWith("x") && layout[name].tickvals) layout[name] = { ...layout[name], ...thinned(layout[name]) };
  }
  if (narrow) layout.margin = { ...layout.margin, l: 50, r: 8 };
  await window.Plotly.react(place, figure.data, layout, { responsive: true, displayModeBar: false });
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", told);
}

function thinned({ tickvals, ticktext }) {
  const every = (list) => list.filter((_, place) => place % 2 === 0);
  return { tickvals: every(tickvals), ticktext: every(ticktext) };
}

// Draws all of them in the size of paper, or of the screen again.
export function forPaper(on) {
  size = on ? PAPER : {};
  for (const [place, asked] of shown) {
    asked.painted = false;
    if (on || near.get(place)) paint(place);
  }
}

export function redraw() {
  for (const [place, { figure, told }] of shown) draw(place, figure, told);
}
