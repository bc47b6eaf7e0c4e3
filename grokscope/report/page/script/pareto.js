// One column against another, every checkpoint a dot coloured by its step.

// Viridis between its ends, without the part that the paper or the dark would swallow.
const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];
let scatter = null;
let zoomedTo = null; // the part that is zoomed to: [[x low, x high], [y low, y high]]

function rampAt(share) {
  const dark = byId("theme").getAttribute("aria-pressed") === "true";
  const [low, high] = dark ? [0.2, 1] : [0, 0.86];
  const at = (low + share * (high - low)) * (VIRIDIS.length - 1);
  const [left, part] = [Math.min(Math.floor(at), VIRIDIS.length - 2), at - Math.min(Math.floor(at), VIRIDIS.length - 2)];
  return `rgb(${VIRIDIS[left].map((c, i) => Math.round(c + part * (VIRIDIS[left + 1][i] - c))).join(",")})`;
}

function stepShare(at) {
  const [low, high] = [position(FIRST), position(LAST)];
  return high > low ? (position(at) - low) / (high - low) : 0;
}

function paretoDots() {
  const [x, y] = state.pareto;
  return shownRuns()
    .filter((run) => run.courses[x] && run.courses[y])
    .map((run) => ({
      run,
      dots: run.steps.map((at, index) => ({ step: at, x: run.courses[x][index], y: run.courses[y][index] })).filter((dot) => Number.isFinite(dot.x) && Number.isFinite(dot.y)),
    }))
    .filter((course) => course.dots.length);
}

function setUpPareto() {
  if (!state.pareto) return;
  for (const [at, id] of [[0, "pareto-x"], [1, "pareto-y"]]) {
    const select = byId(id);
    show(select, ...DATA.columns.map((column, index) => make("option", { value: String(index) }, column.name)));
    select.value = String(state.pareto[at]);
    select.addEventListener("change", () => {
      state.pareto = [Number(byId("pareto-x").value), Number(byId("pareto-y").value)];
      zoomPareto(null);
    });
  }
  byId("pareto-reset").addEventListener("click", () => zoomPareto(null));
  byId("pareto").hidden = false;
}

function zoomPareto(part) {
  zoomedTo = part;
  drawPareto();
}

function drawPareto() {
  if (!state.pareto) return;
  if (scatter) scatter.plot.destroy();
  scatter = null;
  byId("pareto-reset").disabled = !zoomedTo;
  const courses = paretoDots();
  const place = byId("pareto-plot");
  showParetoLegend(courses);
  if (!courses.length) {
    show(place, make("p", { class: "empty" }, "No run shown has both of these."));
    return;
  }
  const [x, y] = state.pareto.map((at) => DATA.columns[at]);
  const frame = make("div", { class: "frame", tabindex: "0", role: "slider", "aria-label": `${y.name} against ${x.name}; arrow keys move along the checkpoints of a run, up and down to another run`, "aria-valuemin": FIRST, "aria-valuemax": LAST, "aria-valuenow": FIRST, "aria-valuetext": "no checkpoint chosen" });
  const reading = make("div", { class: "reading", hidden: true, "aria-hidden": "true" });
  show(place, frame);
  const all = courses.flatMap((course) => course.dots);
  scatter = { courses, frame, reading, run: 0, dot: -1, ranges: [all.map((dot) => dot.x), all.map((dot) => dot.y)].map(spanned) };
  scatter.plot = new uPlot(paretoOptions(scatter, x, y), [null, [[0], [0]]], frame);
  scatter.plot.over.append(reading);
  scatter.plot.over.addEventListener("dblclick", () => zoomPareto(null));
  frame.addEventListener("keydown", pressedPareto);
}

function spanned(values) {
  return padded(values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b)));
}

function paretoOptions(made, x, y) {
  const axis = axisStyle();
  const named = (column) => ({ label: column.name + (column.unit ? ` (${column.unit})` : ""), labelFont: font(), labelSize: 22, labelGap: 2 });
  const plain = (ticks) => withLinearValues(() => valueLabels(ticks));
  return {
    mode: 2,
    width: plotWidth(made.frame),
    height: printing ? 380 : Math.min(460, Math.max(300, Math.round(plotWidth(made.frame) * 0.55))),
    padding: [10, 16, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: true, y: true, setScale: false, dist: 5 }, points: { show: false }, x: false, y: false },
    scales: {
      x: { time: false, auto: false, range: () => (zoomedTo ? zoomedTo[0] : made.ranges[0]) },
      y: { auto: false, range: () => (zoomedTo ? zoomedTo[1] : made.ranges[1]) },
    },
    axes: [
      { ...axis, ...named(x), size: 32, splits: (plot, at, low, high) => niceTicks(low, high, plot.bbox.width / devicePixelRatio / 80), values: (plot, ticks) => plain(ticks) },
      { ...axis, ...named(y), size: LEFT_AXIS, splits: (plot, at, low, high) => niceTicks(low, high, 6), values: (plot, ticks) => plain(ticks) },
    ],
    series: [null, { facets: [{ scale: "x", auto: false }, { scale: "y", auto: false }], paths: () => null }],
    hooks: { draw: [drawDots], setSelect: [selectedPareto], setCursor: [movedPareto] },
  };
}

function withLinearValues(work) {
  const kept = state.values;
  state.values = "linear";
  try {
    return work();
  } finally {
    state.values = kept;
  }
}

function drawDots(plot) {
  const { ctx, bbox } = plot;
  const unit = devicePixelRatio;
  const place = (dot) => [plot.valToPos(dot.x, "x", true), plot.valToPos(dot.y, "y", true)];
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const { run, dots } of scatter.courses) {
    ctx.globalAlpha = 0.45;
    ctx.lineWidth = unit;
    ctx.strokeStyle = runColour(run);
    ctx.beginPath();
    dots.forEach((dot) => ctx.lineTo(...place(dot)));
    ctx.stroke();
  }
  ctx.globalAlpha = 0.9;
  for (const { dots } of scatter.courses) {
    for (const dot of dots) {
      ctx.fillStyle = rampAt(stepShare(dot.step));
      ctx.beginPath();
      ctx.arc(...place(dot), 2.6 * unit, 0, 2 * Math.PI);
      ctx.fill();
    }
  }
  ctx.globalAlpha = 1;
  for (const course of scatter.courses) drawTransitions(ctx, course, place);
  ctx.restore();
}

function drawTransitions(ctx, { run, dots }, place) {
  const unit = devicePixelRatio;
  for (const [letter, at] of [["M", run.memorised], ["G", run.grokked]]) {
    const dot = at === null ? undefined : dots.find((candidate) => candidate.step >= at);
    if (!dot) continue;
    const [x, y] = place(dot);
    ctx.lineWidth = 1.5 * unit;
    ctx.strokeStyle = runColour(run);
    ctx.fillStyle = letter === "M" ? colour("paper") : runColour(run);
    ctx.beginPath();
    ctx.arc(x, y, 7 * unit, 0, 2 * Math.PI);
    ctx.fill();
    ctx.stroke();
    ctx.fillStyle = letter === "M" ? runColour(run) : colour("paper");
    ctx.font = font().replace("12px", `bold ${9 * unit}px`);
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillText(letter, x, y + 0.5 * unit);
  }
}

function showParetoLegend(courses) {
  const bar = make("span", { class: "ramp", "aria-hidden": "true" });
  for (let k = 0; k < 24; k++) {
    const cell = make("span");
    cell.style.background = rampAt(k / 23);
    bar.append(cell);
  }
  show(byId("pareto-legend"), make("span", null, "step "), make("span", null, String(FIRST)), bar, make("span", null, String(LAST)), make("span", null, courses.length > 1 ? " · lines: runs, in the colours above · M memorised, G grokked" : " · M memorised, G grokked"));
}

function selectedPareto(plot) {
  const { left, top, width, height } = plot.select;
  if (width < 5 || height < 5) return;
  zoomPareto([
    [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")],
    [plot.posToVal(top + height, "y"), plot.posToVal(top, "y")],
  ]);
}

function movedPareto(plot) {
  const { left, top } = plot.cursor;
  if (!scatter || scatter.plot !== plot || left === null || left === undefined || left < 0) {
    if (scatter) scatter.reading.hidden = true;
    return;
  }
  let best = { far: 30 };
  scatter.courses.forEach(({ dots }, run) => dots.forEach((dot, at) => {
    const far = Math.hypot(plot.valToPos(dot.x, "x") - left, plot.valToPos(dot.y, "y") - top);
    if (far < best.far) best = { far, run, at };
  }));
  if (best.run === undefined) scatter.reading.hidden = true;
  else readDot(best.run, best.at);
}

function readDot(run, at) {
  const { courses, plot, reading, frame } = scatter;
  Object.assign(scatter, { run, dot: at });
  const dot = courses[run].dots[at];
  const owner = courses[run].run;
  const names = state.pareto.map((index) => DATA.columns[index].name);
  show(reading, make("div", { class: "at" }, `step ${dot.step}`), make("div", { class: "line" }, swatch(owner), make("span", { class: "who" }, owner.label)), make("div", { class: "line" }, make("span", { class: "who" }, names[0]), make("b", null, number(dot.x))), make("div", { class: "line" }, make("span", { class: "who" }, names[1]), make("b", null, number(dot.y))));
  reading.hidden = false;
  const [left, top] = [plot.valToPos(dot.x, "x"), plot.valToPos(dot.y, "y")];
  const flipped = left > plot.over.clientWidth / 2;
  reading.style.left = flipped ? "auto" : `${left + 12}px`;
  reading.style.right = flipped ? `${plot.over.clientWidth - left + 12}px` : "auto";
  reading.style.top = `${Math.max(0, Math.min(top - 20, plot.over.clientHeight - 96))}px`;
  frame.setAttribute("aria-valuenow", dot.step);
  frame.setAttribute("aria-valuetext", `${owner.label}, step ${dot.step}: ${names[0]} ${number(dot.x)}, ${names[1]} ${number(dot.y)}`);
}

function pressedPareto(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { courses } = scatter;
  const runs = { ArrowUp: -1, ArrowDown: 1 };
  if (event.key in runs) {
    const run = Math.min(courses.length - 1, Math.max(0, scatter.run + runs[event.key]));
    readDot(run, Math.min(Math.max(scatter.dot, 0), courses[run].dots.length - 1));
  } else if (event.key in MOVES || event.key === "Home" || event.key === "End") {
    const last = courses[scatter.run].dots.length - 1;
    const to = { Home: 0, End: last }[event.key] ?? scatter.dot + MOVES[event.key];
    readDot(scatter.run, Math.min(last, Math.max(0, to)));
  } else if (event.key === "Escape") zoomPareto(null);
  else return;
  event.preventDefault();
}
