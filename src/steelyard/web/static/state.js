// The state of the page is what the address bar says: a preset or a scenario's text, pasted models, what was moved.
const MOST = 60000; // letters of an address

export async function write(state) {
  const parts = new URLSearchParams();
  if (state.preset) parts.set("preset", state.preset);
  for (const [name, value] of Object.entries(state.set)) {
    parts.set(name, Array.isArray(value) ? value.join(",") : String(value));
  }
  if (state.yaml) parts.set("yaml", await packed(state.yaml));
  if (Object.keys(state.files).length) parts.set("files", await packed(JSON.stringify(state.files)));
  const text = "#" + parts.toString();
  return text.length > MOST ? "#too-long" : text;
}

export async function read(hash, controls, preset) {
  const state = { set: {}, files: {} };
  const parts = new URLSearchParams(hash.slice(1));
  for (const [name, value] of parts) {
    const control = controls.get(name);
    if (name === "yaml") state.yaml = await unpacked(value);
    else if (name === "files") state.files = JSON.parse(await unpacked(value));
    else if (control) state.set[name] = typed(control.kind, value);
  }
  if (!state.yaml) state.preset = parts.get("preset") || preset;
  return state;
}

function typed(kind, value) {
  if (kind === "slider") return Number(value);
  return kind === "several" ? value.split(",") : value;
}

export function asked(state) {
  const { preset, yaml, files, set } = state;
  return yaml ? { yaml, files, set } : { preset, files, set };
}

async function packed(text) {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")).replace(/\+/g, "-").replace(/\//g, "_");
}

async function unpacked(text) {
  const letters = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(stream).text();
}
