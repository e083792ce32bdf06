// Sliders and choices. A slider shows its value in words beside it and to screen readers.
const STEPS = 400;
const wide = window.matchMedia("(min-width: 62rem)"); // on a narrow screen the answer comes before the sliders

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export class Controls {
  constructor(form, controls, choices, moved) {
    Object.assign(this, { form, controls, choices, moved, parts: new Map() });
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  // Shows the controls that apply, with their values; one that is being moved keeps its place.
  show(values, files) {
    const names = Object.keys(values).join();
    if (names !== this.names || files.join() !== this.files) {
      this.names = names;
      this.files = files.join();
      this.build(values, files);
    }
    for (const [name, value] of Object.entries(values)) this.parts.get(name).show(value);
  }

  build(values, files) {
    const groups = new Map();
    for (const control of this.controls) {
      if (!(control.id in values)) continue;
      if (!groups.has(control.group)) groups.set(control.group, []);
      groups.get(control.group).push(control);
    }
    this.parts.clear();
    this.form.replaceChildren();
    for (const [group, controls] of groups) {
      const box = element("details", { class: "group", open: wide.matches && (group === "Load" || group === "Objective") });
      box.append(element("summary", {}, group));
      for (const control of controls) {
        const part = this.part(control, files);
        this.parts.set(control.id, part);
        box.append(part.box);
      }
      this.form.append(box);
    }
  }

  part(control, files) {
    const moved = (value) => this.moved(control, value);
    if (control.kind === "slider") return slider(control, moved);
    const options = [...files.map((name) => [name, name]), ...this.choices[control.choices]];
    return control.kind === "several" ? several(control, options, moved) : choice(control, options, moved);
  }
}

function slider(control, moved) {
  const id = `control-${control.id}`;
  const input = element("input", { type: "range", id, min: 0, max: STEPS, step: "any" });
  const output = element("output", { for: id });
  const label = element("label", { for: id }, control.label);
  let ends = control;
  const say = (value) => {
    output.textContent = words(control, value, ends);
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.addEventListener("input", () => {
    const value = at(control, ends, Number(input.value) / STEPS);
    say(value);
    moved(value);
  });
  input.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (!by) return;
    event.preventDefault();
    input.value = Number(input.value) + (by * STEPS) / 100;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });
  return {
    box: element("div", { class: "control" }, label, output, input),
    show(found) {
      ends = found;
      if (input.matches(":active")) return;
      input.value = STEPS * share(control, found, found.value);
      say(found.value);
    },
  };
}

function at(control, { low, high }, share) {
  const value = control.log ? low * (high / low) ** share : low + (high - low) * share;
  if (share >= 1) return high;
  const step = control.step || 10 ** (Math.floor(Math.log10(Math.abs(value) || 1)) - 2);
  return Math.min(high, Math.max(low, Number((Math.round(value / step) * step).toPrecision(12))));
}

function share(control, { low, high }, value) {
  const inside = Math.min(high, Math.max(low, value));
  return control.log ? Math.log(inside / low) / Math.log(high / low) : (inside - low) / (high - low);
}

export function words(control, value, { high }) {
  if (control.unlimited && value >= high) return "no limit";
  const size = Math.abs(value);
  const [by, letter] = size >= 1e9 ? [1e9, " B"] : size >= 1e6 ? [1e6, " M"] : size >= 1e5 ? [1e3, " k"] : [1, ""];
  const shown = (value / by).toLocaleString("en", { maximumSignificantDigits: size >= 1000 && by === 1 ? 4 : 3 });
  const unit = control.unit === "%" ? "%" : control.unit ? ` ${control.unit}` : "";
  return shown + letter + unit;
}

function choice(control, options, moved) {
  const id = `control-${control.id}`;
  const select = element("select", { id });
  for (const [name, told] of options) select.append(element("option", { value: name }, told));
  select.addEventListener("change", () => moved(select.value));
  return {
    box: element("div", { class: "control" }, element("label", { for: id }, control.label), select),
    show(found) {
      if (![...select.options].some((option) => option.value === found.value)) {
        select.append(element("option", { value: found.value }, found.value));
      }
      select.value = found.value;
    },
  };
}

function several(control, options, moved) {
  const boxes = options.map(([name, told]) => {
    const input = element("input", { type: "checkbox", value: name });
    return [input, element("label", { class: "tick" }, input, ` ${told}`)];
  });
  const list = element("div", { class: "ticks" }, ...boxes.map(([, label]) => label));
  const box = element("fieldset", { class: "control" }, element("legend", {}, control.label), list);
  box.addEventListener("change", (event) => {
    const chosen = boxes.filter(([input]) => input.checked).map(([input]) => input.value);
    if (chosen.length) moved(chosen);
    else event.target.checked = true; // one must stand
  });
  return {
    box,
    show(found) {
      for (const [input] of boxes) input.checked = found.value.includes(input.value);
    },
  };
}
