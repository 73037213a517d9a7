"use strict";
// Vega's own interpreter of expressions (ast) instead of `new Function`: the page allows no script to make scripts.
(function () {
  const page = JSON.parse(document.getElementById("data").textContent);
  const options = { mode: "vega-lite", actions: false, renderer: "svg", ast: true, config: page.config, defaultStyle: false, logLevel: 1 }; // 1: errors only

  function records(table) {
    return table.rows.map((row) => Object.fromEntries(table.columns.map((name, at) => [name, row[at]])));
  }

  async function draw(plot, at) {
    const target = document.getElementById("p" + at);
    const name = target.getAttribute("aria-label"); // Vega writes the description there
    const datasets = {};
    for (const [name, table] of Object.entries(plot.data)) datasets[name] = records(table);
    try {
      await window.vegaEmbed(target, { ...page.specs[plot.spec], description: name, datasets }, options);
      for (const svg of target.querySelectorAll("svg")) svg.setAttribute("aria-hidden", "true");
      target.dataset.state = "drawn";
    } catch (error) {
      target.dataset.state = "failed";
      target.textContent = "This plot could not be drawn: " + error.message;
    }
  }

  (async function () {
    for (const [at, plot] of page.plots.entries()) await draw(plot, at);
    document.documentElement.dataset.state = "drawn";
  })();
})();
