// Phases: a bar per run over the step axis, and the same as a table.

const PHASE_NAMES = ["feature learning", "emergence", "divergence", "delayed emergence", "decoupling"];
const BAR = 20;

function setUpPhases() {
  const found = DATA.phases;
  if (!found || !(found.of.some((phases) => phases.length) || found.notes.some(Boolean))) return;
  byId("phases").hidden = false;
}

function phaseNames() {
  const met = DATA.phases.of.flatMap((phases) => phases.map((phase) => phase.name));
  return [...new Set([...PHASE_NAMES.filter((name) => met.includes(name)), ...met])];
}

function phaseKind(name) {
  const known = PHASE_NAMES.indexOf(name);
  return known >= 0 ? known : 5 + (phaseNames().indexOf(name) % 3);
}

function drawPhases() {
  if (byId("phases").hidden) return;
  const body = byId("phases-body");
  const runs = RUNS.filter((run) => DATA.phases.of[run.at].length);
  const width = plotWidth(body);
  show(
    body,
    ...DATA.phases.rules.map((rule) => make("p", { class: "rule" }, rule)),
    runs.length ? phaseLegend() : null,
    runs.length ? make("div", { class: "bars" }, ...runs.map((run) => phaseBar(run, width)), phaseAxis(width)) : null,
    runs.length ? make("details", { class: "unfolds" }, make("summary", null, "Phases as a table"), phaseTable(runs)) : null,
    phaseNotes(),
  );
}

function phaseLegend() {
  const names = phaseNames().map((name) => {
    const mark = make("span", { class: `swatch phase-${phaseKind(name)}`, "aria-hidden": "true" });
    return make("span", { class: "key" }, mark, name);
  });
  return make("p", { class: "small legend" }, ...names);
}

function along(at, width) {
  const [low, high] = wholeRange();
  return ((position(at) - low) / (high - low)) * width;
}

// A bar reaches to the next phase where that begins at the very next evaluation.
function drawnEnd(run, at) {
  const phases = DATA.phases.of[run.at];
  const steps = run.curve && !run.steps.includes(phases[at].end) ? run.curve.steps : run.steps;
  const next = phases[at + 1];
  return next && steps[lowerBound(steps, phases[at].end + 1)] === next.start ? next.start : phases[at].end;
}

function phaseBar(run, width) {
  const phases = DATA.phases.of[run.at];
  const words = phases.map((phase) => `${phase.name} ${phase.start} to ${phase.end}`).join(", ");
  const bar = draw("svg", { class: "bar", width, height: BAR + 8, viewBox: `0 0 ${width} ${BAR + 8}`, role: "img", "aria-label": `${run.label}: ${words}` });
  phases.forEach((phase, at) => {
    const [left, right] = [along(phase.start, width), along(drawnEnd(run, at), width)];
    const area = draw("rect", { class: `phase-${phaseKind(phase.name)}`, x: left.toFixed(1), y: 4, width: Math.max(right - left - 1, 1.5).toFixed(1), height: BAR, rx: 2 }, draw("title", null, `${phase.name}, steps ${phase.start} to ${phase.end}`));
    bar.append(area);
    if (right - left > phase.name.length * 7 + 8) bar.append(draw("text", { x: ((left + right) / 2).toFixed(1), y: 4 + BAR / 2 + 4, "text-anchor": "middle" }, phase.name));
  });
  for (const [letter, at] of [["M", run.memorised], ["G", run.grokked]]) {
    if (at === null) continue;
    const x = along(at, width).toFixed(1);
    bar.append(draw("line", { class: `mark mark-${letter}`, x1: x, x2: x, y1: 0, y2: BAR + 8 }, draw("title", null, `${letter === "M" ? "memorised" : "grokked"} at step ${at}`)));
  }
  return make("div", { class: "barred" }, make("div", { class: "who" }, swatch(run), run.label), bar);
}

function phaseAxis(width) {
  const axis = draw("svg", { class: "axis", width, height: 22, viewBox: `0 0 ${width} 22`, "aria-hidden": "true" });
  const [low, high] = wholeRange();
  for (const tick of stepTicks(low, high, width / 60)) {
    const x = (((tick - low) / (high - low)) * width).toFixed(1);
    axis.append(draw("line", { x1: x, x2: x, y1: 0, y2: 4 }), draw("text", { x, y: 17, "text-anchor": "middle" }, stepLabel(tick)));
  }
  return axis;
}

function phaseTable(runs) {
  const rows = runs.flatMap((run) => DATA.phases.of[run.at].map((phase) => ({ run, phase })));
  return plainTable("Phases", ["run", "phase", "from step", "to step"], rows.map(({ run, phase }) => [run.label, phase.name, step(phase.start), step(phase.end)]), 2);
}

function phaseNotes() {
  const notes = RUNS.map((run) => [run.label, DATA.phases.notes[run.at]]).filter(([, note]) => note);
  const same = new Set(notes.map(([, note]) => note));
  if (same.size === 1 && notes.length === RUNS.length) return make("p", { class: "small" }, [...same][0]);
  return notes.length ? make("ul", { class: "small" }, ...notes.map(([label, note]) => make("li", null, `${label}: ${note}`))) : null;
}
