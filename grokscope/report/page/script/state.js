// What the report holds, what of it is shown, and in which colours.

const DATA = JSON.parse(byId("data").textContent);
const METRICS = ["train_loss", "test_loss", "train_accuracy", "test_accuracy"];
const COLOURS = 8;

const RUNS = DATA.runs.map((run, at) => ({
  ...run,
  at,
  steps: DATA.axes[run.axis],
  courses: run.columns.map(unpacked),
  curve: run.curve && {
    ...run.curve,
    steps: DATA.axes[run.curve.axis],
    courses: METRICS.map((name) => unpacked(run.curve[name])),
  },
}));

// A panel is one plot: a list of lines per run, each with its steps, values and dash.
const PANELS = [
  { id: "accuracy", group: "training", title: "accuracy", help: "solid: test, dashed: train", unit: "", metrics: ["test_accuracy", "train_accuracy"] },
  { id: "loss", group: "training", title: "loss", help: "solid: test, dashed: train", unit: "", metrics: ["test_loss", "train_loss"] },
  ...DATA.columns.map((column, at) => ({ id: String(at), group: column.measure, title: column.title, full: column.name, help: column.help, unit: column.unit, column: at })),
].filter((panel) => panel.column !== undefined || RUNS.some((run) => run.curve));

const state = {
  axis: "log",
  values: "linear",
  zoom: null, // in steps
  byGroup: Boolean(DATA.groups) && RUNS.length > COLOURS,
  shown: new Set(RUNS.map((run) => run.at)),
  open: new Set(["accuracy", ...DATA.open.map(String)]),
  pareto: DATA.pareto,
};

function shownRuns() {
  return RUNS.filter((run) => state.shown.has(run.at));
}

function openPanels() {
  return PANELS.filter((panel) => state.open.has(panel.id));
}

function colourIndex(run) {
  return state.byGroup ? DATA.groups.of[run.at] : run.at;
}

function linesOf(panel, run) {
  if (panel.column !== undefined) {
    const values = run.courses[panel.column];
    return values ? [{ run, name: "", steps: run.steps, values, dash: false }] : [];
  }
  if (!run.curve) return [];
  return panel.metrics
    .map((metric, at) => ({ run, name: metric.split("_")[0], ...courseOf(run.curve, METRICS.indexOf(metric)), dash: at === 1 }))
    .filter((line) => line.values);
}

// The points of a recorded loop may tell some metrics alone: a line goes from one that tells it to the next.
function courseOf({ steps, courses, partly }, metric) {
  const values = courses[metric];
  if (!partly || !values) return { steps, values };
  const told = steps.map((_, at) => at).filter((at) => Number.isFinite(values[at]));
  return { steps: told.map((at) => steps[at]), values: told.map((at) => values[at]) };
}

// Colours are the style sheet's; a probe element says what a custom property comes to in this theme.
function colour(name) {
  const probe = byId("probe") || document.body.appendChild(make("span", { id: "probe", hidden: true }));
  probe.style.color = "";
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

function runColour(run) {
  return colour(`run-${colourIndex(run) % COLOURS}`);
}

function swatch(run) {
  const mark = make("span", { class: "swatch", "aria-hidden": "true" });
  mark.style.setProperty("--here", `var(--run-${colourIndex(run) % COLOURS})`);
  if (colourIndex(run) >= COLOURS) mark.classList.add("again");
  return mark;
}
