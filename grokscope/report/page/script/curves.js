// The plots over steps: one panel per measure, one under another, with one step axis, one zoom and one cursor.

const HEIGHT = 190;
const LEFT_AXIS = 64;
let panels = [];
let printing = false;

function plotWidth(place) {
  return printing ? 660 : Math.max(240, Math.floor(place.clientWidth));
}

function font() {
  return `12px ${getComputedStyle(document.body).fontFamily}`;
}

function axisStyle() {
  const ink = colour("soft");
  const lines = colour("grid");
  return { font: font(), stroke: ink, grid: { stroke: lines, width: 1 }, ticks: { stroke: lines, width: 1, size: 4 }, gap: 5 };
}

function drawCurves() {
  const places = panels.map((panel) => panel.at);
  const focused = panels.findIndex((panel) => panel.frame === document.activeElement);
  panels.forEach((panel) => panel.plot && panel.plot.destroy());
  panels = openPanels().map(makePanel);
  show(byId("panels"), ...panels.map((panel) => panel.figure), panels.length ? null : make("p", { class: "empty" }, "No measure is chosen."));
  panels.forEach(drawPanel);
  if (focused >= 0 && panels[focused]) panels[focused].frame.focus({ preventScroll: true });
  panels.forEach((panel, at) => (panel.at = places[at] ?? -1));
  showValues();
  showZoom();
}

function makePanel(panel) {
  const heading = `panel-${panel.id}`;
  const reading = make("div", { class: "reading", hidden: true, "aria-hidden": "true" });
  const frame = make("div", {
    class: "frame",
    tabindex: "0",
    role: "slider",
    "aria-labelledby": heading,
    "aria-describedby": "hint values-table",
    "aria-orientation": "horizontal",
    "aria-valuemin": FIRST,
    "aria-valuemax": LAST,
    "aria-valuenow": FIRST,
    "aria-valuetext": "no step chosen",
  });
  const title = make("h3", { id: heading }, panel.full || panel.title, panel.unit ? make("span", { class: "unit" }, ` ${panel.unit}`) : null);
  const figure = make("figure", { class: "panel", "data-panel": panel.id }, make("figcaption", null, title, make("span", { class: "help" }, panel.help)), frame);
  const lines = shownRuns().flatMap((run) => linesOf(panel, run));
  return { panel, figure, frame, reading, lines, plot: null, at: -1 };
}

function drawPanel(made) {
  if (!made.lines.length) {
    show(made.frame, make("p", { class: "empty" }, state.shown.size ? "The runs shown do not have it." : "No run is shown."));
    return;
  }
  const tables = made.lines.map((line) => [Array.from(line.steps, position), Array.from(line.values, valuePlace)]);
  const data = tables.length === 1 ? tables[0] : uPlot.join(tables);
  made.places = data[0];
  made.plot = new uPlot(panelOptions(made), data, made.frame);
  made.plot.over.append(made.reading);
  made.plot.over.addEventListener("dblclick", () => zoomTo(null));
  made.frame.addEventListener("keydown", (event) => pressed(made, event));
  made.frame.addEventListener("blur", () => point(made, -1));
}

function panelOptions(made) {
  const axis = axisStyle();
  return {
    width: plotWidth(made.frame),
    height: HEIGHT,
    padding: [10, 14, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: true, y: false, setScale: false, dist: 5 }, y: false, points: { size: 7 } },
    scales: {
      x: { time: false, range: () => shownRange() },
      y: { range: (plot, low, high) => valueRange(made.panel, low, high) },
    },
    axes: [
      { ...axis, size: 30, splits: (plot, at, low, high) => stepTicks(low, high, plot.bbox.width / devicePixelRatio / 60), values: (plot, ticks) => ticks.map(stepLabel) },
      { ...axis, size: LEFT_AXIS, splits: (plot, at, low, high) => valueTicks(low, high, 5), values: (plot, ticks) => valueLabels(ticks) },
    ],
    series: [{}, ...made.lines.map(lineStyle)],
    hooks: { drawAxes: [drawMarks], setSelect: [selected], setCursor: [(plot) => moved(made, plot)] },
  };
}

function lineStyle(line) {
  const again = colourIndex(line.run) >= COLOURS;
  return {
    stroke: runColour(line.run),
    width: line.dash ? 1.25 : 1.75,
    dash: line.dash ? [4, 4] : again ? [10, 3, 2, 3] : undefined,
    alpha: line.dash ? 0.8 : 1,
    points: { size: 4 },
  };
}

function valueRange(panel, low, high) {
  if (panel.id === "accuracy" && state.values === "linear") return [-0.03, 1.03];
  return padded(low, high);
}

// M and G: where a run memorised and grokked; lines for a few runs, marks at the top edge for many.
function drawMarks(plot) {
  const runs = shownRuns();
  const { ctx, bbox } = plot;
  const few = runs.length <= 3;
  ctx.save();
  ctx.font = font().replace("12px", `${11 * devicePixelRatio}px`);
  ctx.textAlign = "center";
  for (const run of runs) {
    for (const [letter, at] of [["M", run.memorised], ["G", run.grokked]]) {
      if (at === null) continue;
      const x = Math.round(plot.valToPos(position(at), "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = ctx.fillStyle = runColour(run);
      markAt(ctx, bbox, x, letter, few, runs.length === 1);
    }
  }
  ctx.restore();
}

function markAt(ctx, bbox, x, letter, few, alone) {
  const unit = devicePixelRatio;
  ctx.lineWidth = unit;
  ctx.setLineDash(letter === "M" ? [2 * unit, 3 * unit] : []);
  ctx.globalAlpha = few ? 0.55 : 0.3;
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + (few ? bbox.height : 9 * unit));
  ctx.stroke();
  ctx.globalAlpha = 1;
  ctx.setLineDash([]);
  if (alone) {
    ctx.fillText(letter, x, bbox.top - 2 * unit);
    return;
  }
  ctx.beginPath();
  ctx.arc(x, bbox.top, 3 * unit, 0, 2 * Math.PI);
  if (letter === "M") {
    ctx.fillStyle = colour("paper");
    ctx.fill();
    ctx.stroke();
  } else ctx.fill();
}

function selected(plot) {
  const { left, width } = plot.select;
  if (width < 5) return;
  const ends = [left, left + width].map((x) => stepAt(plot.posToVal(x, "x")));
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  zoomTo(ends);
}

// Zoom in steps, so that it stays where it is when the axis changes.
function zoomTo(ends) {
  const whole = ends && [Math.max(FIRST, Math.min(...ends)), Math.min(LAST, Math.max(...ends))];
  const all = !whole || whole[1] <= whole[0] || (whole[0] <= FIRST && whole[1] >= LAST);
  state.zoom = all ? null : whole;
  for (const { plot } of panels) {
    const [min, max] = shownRange();
    if (plot) plot.setScale("x", { min, max });
  }
  showZoom();
  showValues();
}

function showZoom() {
  const [from, to] = state.zoom || [FIRST, LAST];
  byId("zoom-from").value = Math.round(from);
  byId("zoom-to").value = Math.round(to);
  byId("zoom-reset").disabled = !state.zoom;
}

function moved(made, plot) {
  const { left } = plot.cursor;
  for (const other of panels) {
    if (other !== made && other.plot) other.plot.setCursor({ left, top: left < 0 ? -10 : 0 }, false);
  }
  if (left === null || left === undefined || left < 0) {
    made.reading.hidden = true;
    return;
  }
  read(made, stepAt(plot.posToVal(left, "x")), left);
}

// What every line is at the step that the cursor is nearest to.
function valuesAt(made, wanted) {
  const place = position(wanted);
  const reached = stepAt(made.places[nearest(made.places, place)]);
  const values = made.lines.map((line) => {
    const at = nearest(line.steps, reached);
    return { line, step: line.steps[at], value: line.values[at] };
  });
  return { step: Math.round(reached), values };
}

const MOST_READ = 16;

function read(made, wanted, left) {
  const found = valuesAt(made, wanted);
  const rows = found.values.slice(0, MOST_READ).map(({ line, step: at, value }) =>
    make("div", { class: "line" }, swatch(line.run), make("span", { class: "who" }, [line.run.label, line.name].filter(Boolean).join(" · ")), make("b", null, number(value)), at === found.step ? null : make("i", null, `at ${at}`)),
  );
  const more = found.values.length - rows.length;
  show(made.reading, make("div", { class: "at" }, `step ${found.step}`), ...rows, more > 0 ? make("div", null, `and ${more} more`) : null);
  made.reading.hidden = false;
  const width = made.plot.over.clientWidth;
  const flipped = left > width / 2;
  made.reading.style.left = flipped ? "auto" : `${left + 14}px`;
  made.reading.style.right = flipped ? `${width - left + 14}px` : "auto";
  made.frame.setAttribute("aria-valuenow", found.step);
  made.frame.setAttribute("aria-valuetext", spokenValues(found));
}

function spokenValues(found) {
  const parts = found.values.slice(0, MOST_READ).map(({ line, value }) => `${line.run.label} ${line.name} ${number(value)}`);
  return `step ${found.step}: ${parts.join("; ")}`;
}

const MOVES = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 };

function pressed(made, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const last = made.places.length - 1;
  const [low, high] = shownRange();
  const [first, end] = [lowerBound(made.places, low), Math.min(last, lowerBound(made.places, high + 1e-12) - 1)];
  if (event.key in MOVES) point(made, made.at < 0 ? first : Math.min(end, Math.max(first, made.at + MOVES[event.key])));
  else if (event.key === "Home") point(made, first);
  else if (event.key === "End") point(made, end);
  else if (event.key === "+" || event.key === "=") zoomBy(made, 0.5);
  else if (event.key === "-") zoomBy(made, 2);
  else if (event.key === "Escape") zoomTo(null);
  else return;
  event.preventDefault();
}

function point(made, at) {
  made.at = at;
  if (!made.plot) return;
  const left = at < 0 ? -10 : made.plot.valToPos(made.places[at], "x");
  made.plot.setCursor({ left, top: at < 0 ? -10 : 0 });
}

function zoomBy(made, factor) {
  const [low, high] = shownRange();
  const middle = made.at >= 0 ? made.places[made.at] : (low + high) / 2;
  const [from, to] = [middle - (middle - low) * factor, middle + (high - middle) * factor];
  const [start, stop] = wholeRange();
  zoomTo(from <= start && to >= stop ? null : [from, to].map((place) => Math.round(stepAt(place))));
  if (made.at >= 0) point(made, made.at);
}

// The same in numbers, for those who do not see the plots: of every line, where it starts, turns and ends.
function showValues() {
  const columns = ["measure", "run", "first", "at memorisation", "at grokking", "last", "lowest", "highest"];
  const rows = panels.flatMap((made) => made.lines.map((line) => [made.panel, line])).map(([panel, line]) => valueRow(panel, line));
  const head = make("tr", null, ...columns.map((name, at) => make("th", { scope: "col", class: at > 1 ? "number" : null }, name)));
  const table = make("table", null, make("thead", null, head), make("tbody", null, ...rows));
  show(byId("values-table"), scrolling("These curves in numbers", table));
}

function valueRow(panel, line) {
  const inside = [...line.steps.keys()].filter((at) => !state.zoom || (line.steps[at] >= state.zoom[0] && line.steps[at] <= state.zoom[1]));
  const numbers = inside.filter((at) => Number.isFinite(line.values[at]));
  const value = (at) => (at === undefined ? "–" : `${number(line.values[at])}`);
  const placed = (at) => (at === undefined ? "–" : `${number(line.values[at])} at ${line.steps[at]}`);
  const from = (wanted) => (wanted === null ? undefined : inside.find((at) => line.steps[at] >= wanted));
  const least = numbers.reduce((a, b) => (a === undefined || line.values[b] < line.values[a] ? b : a), undefined);
  const most = numbers.reduce((a, b) => (a === undefined || line.values[b] > line.values[a] ? b : a), undefined);
  const cells = [value(numbers[0]), value(from(line.run.memorised)), value(from(line.run.grokked)), value(numbers[numbers.length - 1]), placed(least), placed(most)];
  const name = [panel.full || panel.title, line.name].filter(Boolean).join(", ");
  return make("tr", null, make("th", { scope: "row" }, name), make("td", null, line.run.label), ...cells.map((cell) => make("td", { class: "number" }, cell)));
}
