// Where steps and values lie on an axis, and which of them are labelled.

const ALL_STEPS = RUNS.flatMap((run) => [...run.steps, ...(run.curve ? run.curve.steps : [])]);
const LAST = ALL_STEPS.reduce((a, b) => Math.max(a, b), 0);
const FIRST = ALL_STEPS.reduce((a, b) => Math.min(a, b), LAST);
const FIRST_POSITIVE = ALL_STEPS.reduce((a, b) => (b > 0 && b < a ? b : a), Math.max(LAST, 1));

// On the log axis step 0 stands as far before the first other step as half of that step would.
function position(at) {
  return state.axis === "log" ? Math.log10(Math.max(at, FIRST_POSITIVE / 2)) : at;
}

function stepAt(place) {
  if (state.axis !== "log") return place;
  return FIRST === 0 && place < Math.log10(FIRST_POSITIVE / 2) + 0.15 ? 0 : 10 ** place;
}

function wholeRange() {
  const [low, high] = [position(FIRST), position(LAST)];
  const room = (high - low || 1) * 0.012;
  return [low - room, high + room];
}

function shownRange() {
  return state.zoom ? state.zoom.map(position) : wholeRange();
}

function stepTicks(low, high, most) {
  if (state.axis !== "log") return niceTicks(low, high, most);
  const zero = position(0);
  const ticks = logTicks(Math.max(low, FIRST === 0 ? Math.log10(FIRST_POSITIVE) - 1e-9 : low), high, most);
  return FIRST === 0 && low <= zero && zero <= high ? [zero, ...ticks] : ticks;
}

function stepLabel(place) {
  const at = stepAt(place);
  return at >= 1e6 ? number(at, 3) : String(Number(at.toPrecision(6))).replace(/\B(?=(\d{3})+$)/g, at >= 1e4 ? " " : "");
}

function niceTicks(low, high, most) {
  const rough = (high - low) / Math.max(most, 1);
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 5, 10].map((m) => m * power).find((candidate) => candidate >= rough * 0.999) || 10 * power;
  const ticks = [];
  for (let k = Math.ceil(low / size - 1e-9); k * size <= high + size * 1e-9; k++) ticks.push(Number((k * size).toPrecision(12)));
  return ticks;
}

// Ticks of a logarithmic axis, in logarithms: powers of ten, with 2 and 5 where there is room, or round
// numbers where the axis is shorter than that.
function logTicks(low, high, most) {
  const decades = high - low;
  if (decades < 0.8) return niceTicks(10 ** low, 10 ** high, most).filter((v) => v > 0).map(Math.log10);
  const every = Math.max(1, Math.ceil(decades / most));
  const parts = decades * 3 <= most ? [1, 2, 5] : [1];
  const ticks = [];
  for (let power = Math.floor(low / every) * every; power <= high; power += every) {
    for (const part of parts) {
      const at = power + Math.log10(part);
      if (at >= low - 1e-9 && at <= high + 1e-9) ticks.push(at);
    }
  }
  return ticks;
}

function valueTicks(low, high, most) {
  return state.values === "log" ? logTicks(low, high, most) : niceTicks(low, high, most);
}

function valueLabels(ticks) {
  if (state.values === "log") return ticks.map((tick) => number(10 ** tick, 3));
  const size = Math.max(...ticks.map(Math.abs));
  if (size >= 1e5 || (size > 0 && size < 1e-3)) {
    const power = Math.floor(Math.log10(size));
    return ticks.map((tick) => (tick === 0 ? "0" : `${Number((tick / 10 ** power).toPrecision(3))}×${powerOfTen(power)}`.replace("-", "−")));
  }
  return ticks.map((tick) => String(tick).replace("-", "−"));
}

function valuePlace(value) {
  if (!Number.isFinite(value)) return null;
  if (state.values !== "log") return value;
  return value > 0 ? Math.log10(value) : null;
}

function padded(low, high) {
  if (low === null || low === undefined || !Number.isFinite(low)) return [0, 1];
  const room = (high - low) * 0.06 || Math.abs(low) * 0.1 || 1;
  return [low - room, high + room];
}
