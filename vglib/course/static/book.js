// A formula that scrolls must be reachable by keyboard, and only such a formula.
(() => {
  "use strict";

  function reachable() {
    for (const formula of document.querySelectorAll("mjx-container[display='true'], div.math")) {
      if (formula.scrollWidth > formula.clientWidth + 1) formula.setAttribute("tabindex", "0");
      else formula.removeAttribute("tabindex");
    }
  }

  window.addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    reachable();
    window.addEventListener("resize", reachable);
  });
})();
