// Sliders over figures that were drawn beforehand; see vglib/show/page.py for the data.
(() => {
  "use strict";

  function start(figure) {
    const store = figure.querySelector("script.vg-data");
    const stage = figure.querySelector(".vg-stage");
    if (!store || !stage || figure.dataset.ready) return;
    const data = JSON.parse(store.textContent);
    const inputs = data.controls.map((control) => figure.querySelector(`input[name="${control.name}"]`));

    function show() {
      let index = 0;
      const values = {};
      data.controls.forEach((control, i) => {
        const at = Number(inputs[i].value);
        const text = control.texts[at];
        index = index * control.values.length + at;
        values[control.name] = control.values[at];
        inputs[i].setAttribute("aria-valuetext", text);
        inputs[i].style.setProperty("--vg-at", at / Math.max(1, control.values.length - 1));
        inputs[i].nextElementSibling.textContent = text;
      });
      const runs = data.frames[index];
      let svg = "";
      for (let i = 0; i < runs.length; i += 2) svg += data.lines.slice(runs[i], runs[i + 1]).join("\n") + "\n";
      stage.innerHTML = svg;
      stage.firstChild.setAttribute("role", "img");
      stage.firstChild.setAttribute("aria-label", data.alts[data.alt.length ? data.alt[index] : 0]);
      figure.dataset.values = JSON.stringify(values);
    }

    inputs.forEach((input) => input.addEventListener("input", show));
    show();
    figure.dataset.ready = "true";
  }

  const startAll = () => document.querySelectorAll("figure.vg-explore").forEach(start);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", startAll);
  else startAll();
})();
