// The page as a whole: headings, controls, theme, print.

function setUpHead() {
  byId("title").textContent = DATA.title;
  document.title = `${DATA.title} – grokscope report`;
  const differing = DATA.differing.length ? ` that differ in ${listed(DATA.differing)}` : "";
  const measures = new Set(DATA.columns.map((column) => column.measure)).size;
  const what = DATA.columns.length ? `; ${plural(DATA.columns.length, "column")} of ${plural(measures, "measure")}` : "";
  byId("lead").textContent = `${RUNS.length === 1 ? `One run, ${RUNS[0].name}` : `${RUNS.length} runs${differing}`}${what}.`;
  show(byId("facts"), ...DATA.facts.map(([name, value, more]) => make("div", null, make("dt", null, name), make("dd", null, make("b", null, value), make("span", null, more)))));
  show(byId("runs-table"), runsTable());
  byId("thresholds").textContent = DATA.thresholds;
  byId("summary").hidden = false;
  byId("curves").hidden = !PANELS.length;
}

function setUpContents() {
  const links = [...document.querySelectorAll("main > section")].filter((section) => !section.hidden).map((section) => make("a", { href: `#${section.id}` }, section.dataset.nav));
  show(byId("contents"), ...links);
}

function setUpNotes() {
  byId("notes").hidden = !DATA.notes.length;
  show(byId("notes-list"), ...DATA.notes.map((note) => make("li", null, note)));
  const thinned = RUNS.filter((run) => run.curve && run.curve.points > run.curve.steps.length);
  const curves = thinned.length ? ` Training curves of more than 2000 points are thinned for drawing (${listed(thinned.map((run) => `${run.label}: ${run.curve.steps.length} of ${run.curve.points}`))}).` : "";
  byId("colophon").textContent = `Written by grokscope ${DATA.grokscope}. This file holds all that it shows and asks the network for nothing. Numbers are kept to seven digits and shown to four.${curves} Plots are drawn by uPlot (MIT).`;
}

function setUpControls() {
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("pareto-controls").addEventListener("submit", (event) => event.preventDefault());
  for (const name of ["axis", "values"]) {
    for (const input of document.querySelectorAll(`input[name=${name}]`)) {
      input.addEventListener("change", () => {
        state[name] = input.value;
        drawAll();
      });
    }
  }
  byId("zoom-reset").addEventListener("click", () => zoomTo(null));
  for (const id of ["zoom-from", "zoom-to"]) byId(id).addEventListener("change", () => zoomTo([Number(byId("zoom-from").value), Number(byId("zoom-to").value)]));
  for (const [id, wanted] of [["runs-all", true], ["runs-none", false]]) {
    byId(id).addEventListener("click", () => {
      document.querySelectorAll("#runs-switches input").forEach((box) => (box.checked = wanted));
      state.shown = new Set(wanted ? RUNS.map((run) => run.at) : []);
      drawAll();
    });
  }
  byId("runs-choice").hidden = RUNS.length === 1;
  byId("groups-choice").hidden = !DATA.groups;
  byId("by-group").checked = state.byGroup;
  byId("by-group").addEventListener("change", () => {
    state.byGroup = byId("by-group").checked;
    showSwitches();
    show(byId("runs-table"), runsTable());
    drawAll();
  });
  showSwitches();
  showPanels();
}

function showSwitches() {
  show(byId("runs-switches"), ...RUNS.map((run) => switched(run.label, state.shown.has(run.at), swatch(run), run.name, (on) => {
    if (on) state.shown.add(run.at);
    else state.shown.delete(run.at);
    drawAll();
  })));
}

function switched(label, on, mark, title, change) {
  const box = make("input", { type: "checkbox" });
  box.checked = on;
  box.addEventListener("change", () => change(box.checked));
  return make("label", { title }, box, mark, make("span", null, label));
}

const MANY = 14; // measures, from which on there is a field to find one

function showPanels() {
  const groups = new Map();
  for (const panel of PANELS) {
    if (!groups.has(panel.group)) groups.set(panel.group, []);
    groups.get(panel.group).push(panel);
  }
  show(byId("panels-switches"), ...[...groups].map(([name, members]) => make("div", { class: "group", role: "group", "aria-label": name }, make("div", { class: "name", "aria-hidden": "true" }, name), ...members.map(panelSwitch))));
  byId("search-label").hidden = PANELS.length < MANY;
  byId("search").addEventListener("input", () => {
    const wanted = byId("search").value.trim().toLowerCase();
    for (const group of byId("panels-switches").children) {
      for (const label of group.querySelectorAll("label")) label.hidden = !label.title.toLowerCase().includes(wanted);
      group.hidden = ![...group.querySelectorAll("label")].some((label) => !label.hidden);
    }
  });
}

function panelSwitch(panel) {
  const title = [panel.full || panel.title, panel.help].filter(Boolean).join(" – ");
  return switched(panel.title, state.open.has(panel.id), null, title, (on) => {
    if (on) state.open.add(panel.id);
    else state.open.delete(panel.id);
    drawCurves();
    showLegend();
  });
}

function showLegend() {
  const runs = shownRuns();
  const seen = new Set();
  const keys = runs.filter((run) => !seen.has(colourIndex(run)) && seen.add(colourIndex(run))).map((run) => make("span", { class: state.byGroup ? "key" : "key print-only" }, swatch(run), state.byGroup ? DATA.groups.labels[DATA.groups.of[run.at]] : run.label));
  show(byId("legend"), ...keys, make("span", { class: "key" }, runs.length > 3 ? "○ memorised  ● grokked" : runs.length > 1 ? "dotted line: memorised  line: grokked" : "M memorised  G grokked"));
}

function drawAll() {
  showLegend();
  drawCurves();
  drawPhases();
  drawPareto();
}

function setUpTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const button = byId("theme");
  function wear(isDark) {
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    button.setAttribute("aria-pressed", String(isDark));
    drawAll();
  }
  button.addEventListener("click", () => wear(button.getAttribute("aria-pressed") !== "true"));
  dark.addEventListener("change", () => wear(dark.matches));
  wear(dark.matches);
}

// Paper is light and as wide as paper; afterwards everything is as it was.
function setUpPrint() {
  let before = null;
  addEventListener("beforeprint", () => {
    const closed = [...document.querySelectorAll("details.unfolds:not([open])")];
    before = { theme: document.documentElement.dataset.theme, pressed: byId("theme").getAttribute("aria-pressed"), closed };
    printing = true;
    document.documentElement.dataset.theme = "light";
    byId("theme").setAttribute("aria-pressed", "false");
    closed.forEach((details) => (details.open = true));
    drawAll();
  });
  addEventListener("afterprint", () => {
    if (!before) return;
    printing = false;
    document.documentElement.dataset.theme = before.theme;
    byId("theme").setAttribute("aria-pressed", before.pressed);
    before.closed.forEach((details) => (details.open = false));
    before = null;
    drawAll();
  });
}

function setUpSize() {
  let width = byId("panels").clientWidth;
  new ResizeObserver(() => {
    if (printing || byId("panels").clientWidth === width) return;
    width = byId("panels").clientWidth;
    drawAll();
  }).observe(byId("panels"));
}

setUpHead();
setUpScores();
setUpPhases();
setUpPareto();
setUpSettings();
setUpProvenance();
setUpNotes();
setUpContents();
setUpControls();
setUpTheme();
setUpPrint();
setUpSize();
