// Long work: started, watched and cancelled from the page; it runs in a process of its own.
import { get, post, remove, textOf } from "/static/api.js";
import { element } from "/static/controls.js";
import { draw } from "/static/plots.js";

const LABELS = {
  latency: ["Simulate", [["tp", "Devices a replica, at least", 1]], "Your own trace of requests (CSV or JSON lines)"],
  "plan-serving": ["Search deployments", [["max_devices", "Devices, at most", 8]]],
  "plan-training": ["Search layouts", [["max_devices", "Devices, at most", 1024]]],
  decide: ["Decide", []],
};
const WAIT_MS = 400;

export function prepare(place, asked, spoken) {
  const kind = place.dataset.kind;
  const [label, numbers, traced] = LABELS[kind];
  const inputs = numbers.map(([name, words, value]) => {
    const input = element("input", { type: "number", min: 1, value, id: `${kind}-${name}` });
    return [name, input, element("label", { class: "inline", for: input.id }, words, " ", input)];
  });
  const trace = element("input", { type: "file", accept: ".csv,.jsonl,.json,.txt", id: `${kind}-trace` });
  const boxes = inputs.map(([, , box]) => box);
  if (traced) boxes.push(element("label", { class: "inline", for: trace.id }, traced, " ", trace));
  const start = element("button", { type: "button", class: "primary" }, label);
  const cancel = element("button", { type: "button", hidden: true }, "Cancel");
  const bar = element("progress", { max: 1, hidden: true, "aria-label": `${label}: progress` });
  const told = element("p", { class: "told", role: "status" });
  const result = element("div", { class: "task-result" });
  const figures = element("div");
  const row = element("div", { class: "task-row" }, ...boxes, start, cancel, bar);
  place.append(row, told, figures, result);
  let running = null; // the id of the task watched
  let wanted = false; // it is still asked for

  start.addEventListener("click", async () => {
    const options = Object.fromEntries(inputs.map(([name, input]) => [name, Number(input.value)]));
    busy(true);
    wanted = true;
    told.textContent = "starting …";
    result.replaceChildren();
    figures.replaceChildren();
    try {
      if (trace.files.length) options.trace = await textOf(trace.files[0]); // its name stays here
      const { id } = await post("/api/tasks", { kind, state: asked(), options });
      if (!wanted) return await stop(id);
      running = id;
      await watch(id);
    } catch (error) {
      end(error.message, true);
    }
  });
  cancel.addEventListener("click", async () => {
    wanted = false;
    if (running) await stop(running); // else it is stopped as soon as its id is known
  });

  async function stop(id) {
    running = null;
    try {
      await remove(`/api/tasks/${id}`);
      end("Cancelled; nothing of it runs any more.", false);
    } catch (error) {
      end(error.message, true);
    }
  }

  async function watch(id) {
    while (running === id) {
      const found = await get(`/api/tasks/${id}`);
      if (running !== id) return;
      if (found.status === "running") {
        if (found.share >= 0) bar.value = found.share;
        else bar.removeAttribute("value");
        told.textContent = `${found.words || "starting"} · ${Math.round(found.elapsed_s)} s`;
        await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
      } else {
        running = null;
        if (found.status === "done") await done(found);
        else end(found.error || found.status, true);
      }
    }
  }

  async function done(found) {
    end(`Done in ${found.elapsed_s.toFixed(1)} s, for the question as it stood when it was started.`, false);
    result.innerHTML = found.html; // made and escaped by the server
    for (const [name, figure] of Object.entries(found.figures)) {
      const plot = element("div", { class: "plot tall" });
      figures.append(element("figure", {}, element("figcaption", {}, element("h3", {}, name)), plot));
      draw(plot, figure, `${name}; its numbers stand in the table below`);
    }
    spoken(`${label}: done`);
  }

  function busy(on) {
    start.disabled = on;
    cancel.hidden = bar.hidden = !on;
    if (on) cancel.focus();
  }

  function end(words, failed) {
    running = null;
    busy(false);
    told.textContent = words;
    told.classList.toggle("failed", failed);
  }
}
