// The figure of the three gates; vglib/show/gates.py has the equations, the drawing and every constant.
(() => {
  "use strict";

  // The same lines as `held` in gates.py.
  function held({ i, f, o }, { w, r, x, written }) {
    const c = [written];
    const h = [o * Math.tanh(written)];
    const g = [];
    x.forEach((value, t) => {
      g.push(Math.tanh(w * value + r * h[t]));
      c.push(f * c[t] + i * g[t]);
      h.push(o * Math.tanh(c[t + 1]));
    });
    const total = Array(x.length).fill(0).concat(1);
    const straight = [...total];
    for (let t = x.length - 1; t >= 0; t -= 1) {
      const back = r * (1 - g[t] ** 2) * i * total[t + 1];
      total[t] = f * total[t + 1] + o * (1 - Math.tanh(c[t]) ** 2) * back;
      straight[t] = f * straight[t + 1];
    }
    return { c, h, g, total, straight };
  }

  const place = (value) => `${Math.round(1000 * value) / 1000}`;
  const decades = (values) => values.map((value) => Math.max(Math.log10(value), -99));
  const line = (values) => values.map((v, t) => `${t ? "L" : "M"}${t} ${place(-v)}`).join("");
  const dots = (values) => values.map((v, t) => `M${t} ${place(-v)}h0`).join("");
  const sticks = (values) => values.map((v, t) => `M${t + 1} 0V${place(-v)}`).join("");

  function paths(gates, { c, h, g, total, straight }) {
    const [all, along] = [decades(total), decades(straight)];
    return {
      offered: sticks(g),
      admitted: sticks(g.map((value) => gates.i * value)),
      cell: line(c),
      "cell-dots": dots(c),
      output: line(h),
      total: line(all),
      "total-dots": dots(all),
      straight: line(along),
    };
  }

  const raised = (text) => text.replace(/[-\d]/g, (sign) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign] ?? "⁻");

  function written(value) {
    const size = Math.abs(value);
    let text = size.toPrecision(2);
    if (size === 0 || size === 1) text = `${size}`;
    else if (size >= 99.5) text = size.toFixed(0);
    else if (size < 1e-3) {
      const [digits, power] = size.toExponential(1).split("e");
      text = `${digits}\u00a0×\u00a010${raised(power)}`;
    }
    return value < 0 ? `−${text}` : text;
  }

  function sentence({ i, o }, { c, h, total, straight }) {
    const last = c.length - 1;
    const share = { 0: "nothing", 1: "all" }[straight[0]] ?? written(straight[0]);
    const since = i ? `; with new input it stands at ${written(c[last])}` : "";
    const shown = o ? `The output shows ${written(h[last])}.` : "The output shows nothing.";
    let way = "";
    if (total[0] && total[0] === straight[0]) way = ", all of it straight along the cell";
    else if (total[0] && !straight[0]) way = ", all of it by way of the output";
    else if (total[0]) way = `, of which ${written(straight[0])} came straight along the cell`;
    return (
      `After ${last} steps the cell holds ${share} of what was written${since}. ${shown} ` +
      `A gradient of 1 at the end is ${written(total[0])} at step\u00a00${way}.`
    );
  }

  const span = (values) => `from ${written(values[0])} to ${written(values[values.length - 1])}`;

  function descriptions({ c, h, total, straight }) {
    const last = c.length - 1;
    return [
      `Lines over the steps 0 to ${last}: the cell goes ${span(c)}, at most ${written(Math.max(...c))}, ` +
        `at least ${written(Math.min(...c))}; the output goes ${span(h)}.`,
      `Lines over the same steps, on a log scale, from the last step back to the first: ` +
        `the whole gradient goes ${span([...total].reverse())}, ` +
        `its part straight along the cell ${span([...straight].reverse())}.`,
    ];
  }

  function start(figure) {
    const store = figure.querySelector("script.vg-data");
    if (!store || figure.dataset.ready) return;
    const cell = JSON.parse(store.textContent);
    const sliders = Object.fromEntries(
      [...figure.querySelectorAll("input[type=range]")].map((input) => [input.name, input]),
    );
    const buttons = [...figure.querySelectorAll("button[data-gates]")].map((button) => ({
      button,
      gates: JSON.parse(button.dataset.gates),
    }));
    const drawn = Object.fromEntries(
      [...figure.querySelectorAll("path[data-line]")].map((path) => [path.dataset.line, path]),
    );
    const pictures = [...figure.querySelectorAll("svg[role=img]")];
    const says = figure.querySelector(".vg-says");
    let quiet;

    function show() {
      const gates = {};
      for (const [name, input] of Object.entries(sliders)) {
        gates[name] = Number(input.value);
        const text = gates[name].toFixed(2);
        input.setAttribute("aria-valuetext", text);
        input.style.setProperty("--vg-at", gates[name]);
        input.nextElementSibling.textContent = text;
      }
      for (const { button, gates: corner } of buttons) {
        const here = Object.entries(corner).every(([name, value]) => gates[name] === value);
        button.setAttribute("aria-pressed", here);
      }
      const found = held(gates, cell);
      for (const [name, d] of Object.entries(paths(gates, found))) drawn[name].setAttribute("d", d);
      descriptions(found).forEach((text, which) => pictures[which].setAttribute("aria-label", text));
      says.textContent = sentence(gates, found);
      const now = Object.entries(gates).map(([name, value]) => `${name} = ${value.toFixed(2)}`);
      figure.querySelector(".vg-values").textContent = `Drawn for the gates ${now.join(", ")}.`;
      figure.dataset.values = JSON.stringify(gates);
    }

    function move() {
      // Read out once the slider has come to rest, not at every position it passes.
      says.setAttribute("aria-busy", "true");
      clearTimeout(quiet);
      quiet = setTimeout(() => says.removeAttribute("aria-busy"), 400);
      show();
    }

    for (const input of Object.values(sliders)) input.addEventListener("input", move);
    for (const { button, gates } of buttons) {
      button.addEventListener("click", () => {
        for (const [name, value] of Object.entries(gates)) sliders[name].value = value;
        move();
      });
    }
    // What the script computed, for a reader's console and for the tests.
    figure.held = (gates) => ({ ...held(gates, cell), says: sentence(gates, held(gates, cell)) });
    show();
    figure.querySelector(".vg-hands").hidden = false;
    figure.dataset.ready = "true";
  }

  const startAll = () => document.querySelectorAll(".vg-gates").forEach(start);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", startAll);
  else startAll();
})();
