// Everything that is a table: runs, scores, configuration, provenance.

function plainTable(label, headers, rows, numbersFrom = 99) {
  const kind = (at) => (at >= numbersFrom ? "number" : null);
  const head = make("tr", null, ...headers.map((name, at) => make("th", { scope: "col", class: kind(at) }, name)));
  const body = rows.map((row) => make("tr", null, ...row.map((cell, at) => make(at ? "td" : "th", { scope: at ? null : "row", class: kind(at) }, cell))));
  return scrolling(label, make("table", null, make("thead", null, head), make("tbody", null, ...body)));
}

// Columns: {title, help, value(row) to sort by, cell(row) to show, number}. What has no value comes last, both ways.
function sortable(id, label, columns, rows) {
  const body = make("tbody");
  let [by, sign] = [-1, 1];
  const heads = columns.map((column, at) => {
    const button = make("button", { type: "button", class: "sort", title: column.help }, column.title);
    button.addEventListener("click", () => order(at));
    return make("th", { scope: "col", "aria-sort": "none", class: column.number ? "number" : null }, button);
  });
  function order(at) {
    sign = at === by ? -sign : columns[at].number ? -1 : 1;
    by = at;
    heads.forEach((head, index) => head.setAttribute("aria-sort", index !== by ? "none" : sign > 0 ? "ascending" : "descending"));
    fill();
    byId("spoken").textContent = `sorted by ${columns[at].title}, ${sign > 0 ? "ascending" : "descending"}`;
  }
  function fill() {
    const ordered = by < 0 ? rows : [...rows].sort((a, b) => compared(columns[by].value(a), columns[by].value(b), sign));
    show(body, ...ordered.map((row) => make("tr", null, ...columns.map((column, at) => make(at ? "td" : "th", { scope: at ? null : "row", class: column.number ? "number" : null }, column.cell(row))))));
  }
  fill();
  return scrolling(label, make("table", { id, class: "sorted" }, make("thead", null, make("tr", null, ...heads)), body));
}

function missing(value) {
  return value === null || value === undefined || Number.isNaN(value);
}

function compared(a, b, sign) {
  if (missing(a) || missing(b)) return Number(missing(a)) - Number(missing(b));
  return sign * (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
}

function numeric(title, help, value, text = number) {
  return { title, help, value, number: true, cell: (row) => text(value(row)) };
}

function asNumber(text) {
  return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text === "–" ? null : text;
}

function runsTable() {
  const curves = RUNS.some((run) => run.curve);
  const named = { title: "run", help: "its name", value: (run) => run.name, cell: (run) => make("span", { class: "run" }, swatch(run), make("span", null, run.name)) };
  const settings = DATA.differing.map((name, at) => ({ title: name, help: "a setting in which the runs differ", value: (run) => asNumber(run.differing[at]), cell: (run) => run.differing[at], number: RUNS.every((run) => typeof asNumber(run.differing[at]) !== "string") }));
  const columns = [
    named,
    ...settings,
    numeric("memorised", "step", (run) => run.memorised, step),
    numeric("grokked", "step", (run) => run.grokked, step),
    numeric("delay", "steps from memorised to grokked", (run) => (run.memorised === null || run.grokked === null ? null : run.grokked - run.memorised), step),
    ...(curves ? [numeric("last train", "train accuracy at the end", (run) => run.curve && run.curve.last.train_accuracy, percent), numeric("last test", "test accuracy at the end", (run) => run.curve && run.curve.last.test_accuracy, percent)] : []),
    numeric("last step", "the last checkpoint measured", (run) => run.steps[run.steps.length - 1], step),
  ];
  return sortable("runs-sorted", "Runs", columns, RUNS);
}

const VERDICTS = ["leads", "lags", "coincides", "confounded", "twin", "unresolved", "undecided"];

function verdict(word) {
  return make("span", { class: `verdict ${VERDICTS.includes(word) ? word : ""}` }, word);
}

function interval(middle, low, high) {
  if (missing(middle)) return "–";
  return missing(low) || missing(high) ? number(middle, 3) : `${number(middle, 3)} [${number(low, 3)}, ${number(high, 3)}]`;
}

// A mean and its interval about zero: right of the line the measure was earlier.
function forest(middle, low, high, reach) {
  const width = 120;
  const at = (value) => (width / 2 + (Math.max(-reach, Math.min(reach, value)) / reach) * (width / 2 - 6)).toFixed(1);
  const plot = draw("svg", { class: "forest", width, height: 18, viewBox: `0 0 ${width} 18`, "aria-hidden": "true" }, draw("line", { class: "zero", x1: width / 2, x2: width / 2, y1: 0, y2: 18 }));
  if (missing(middle)) return plot;
  if (!missing(low) && !missing(high)) plot.append(draw("line", { class: "whisker", x1: at(low), x2: at(high), y1: 9, y2: 9 }));
  plot.append(draw("circle", { class: "point", cx: at(middle), cy: 9, r: 4 }));
  return plot;
}

function setUpScores() {
  const scores = DATA.scores;
  if (!scores || !scores.summaries.length) return;
  byId("scores").hidden = false;
  show(
    byId("scores-body"),
    make("p", null, scoreSentence(scores.summaries)),
    sortable("scores-sorted", "Scores by column", summaryColumns(scores.summaries), scores.summaries),
    make("p", { class: "small" }, scoreWords(scores.summaries)),
    ...scores.notes.map((note) => make("p", { class: "small" }, note)),
    scores.made.length ? make("p", { class: "small" }, `Made with ${scores.made.map(([name, value]) => `${name} ${value}`).join(", ")}.`) : null,
    scores.rows.length ? make("details", null, make("summary", null, "Scores of every run"), sortable("score-rows-sorted", "Scores of every run", rowColumns(), scores.rows)) : null,
  );
}

function scoreSentence(summaries) {
  const of = (word) => summaries.filter((row) => row.verdict === word).map((row) => row.column);
  const told = VERDICTS.map((word) => [word, of(word)]).filter(([, columns]) => columns.length);
  const text = told.map(([word, columns]) => `${word}: ${columns.length > 4 ? plural(columns.length, "column") : listed(columns)}`).join("; ");
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

// Verdicts rest on how far ahead of test accuracy's own transition a column changes, where the scores have it.
function judgedBy(summaries) {
  return summaries.some((row) => !missing(row.ahead)) ? "ahead" : "lead";
}

function scoreWords(summaries) {
  const ahead = judgedBy(summaries) === "ahead" ? "Ahead: mean log₁₀ of the step of test accuracy's own transition over that of the measure's. " : "";
  return `${ahead}Lead: mean log₁₀ of the grokking step over that of the measure's transition. Above 0 the measure is earlier; brackets are intervals over runs. ρ: rank correlation with test accuracy.`;
}

function summaryColumns(summaries) {
  const value = (name) => (row) => row[name];
  const judged = judgedBy(summaries);
  const spread = (title, name, help) => ({ title, help, number: true, value: value(name), cell: (row) => interval(row[name], row[`${name}_low`], row[`${name}_high`]) });
  const reach = Math.max(0.1, ...summaries.flatMap((row) => [row[judged], row[`${judged}_low`], row[`${judged}_high`]]).filter((v) => !missing(v)).map(Math.abs));
  const p = (row) => (judged === "ahead" && !missing(row.p_adjusted) ? row.p_adjusted : row.sign_p_adjusted);
  const lead = spread("lead", "lead", "before the grokking step");
  return [
    { title: "measure", help: "measure and column", value: value("column"), cell: value("column") },
    { title: "verdict", help: "what the numbers say", value: (row) => VERDICTS.indexOf(row.verdict), cell: (row) => verdict(row.verdict) },
    judged === "ahead" ? spread("ahead", "ahead", "before test accuracy's own transition") : lead,
    { title: "later ← 0 → earlier", help: "the same as a plot", number: true, value: value(judged), cell: (row) => forest(row[judged], row[`${judged}_low`], row[`${judged}_high`], reach) },
    numeric("p", "corrected over columns", p, (v) => number(v, 2)),
    numeric("ρ", "Spearman's rank correlation with test accuracy", value("spearman"), (v) => number(v, 2)),
    spread("partial ρ", "partial", "rank correlation with test accuracy, controlled"),
    ...(judged === "ahead" ? [lead] : []),
    numeric("runs", "runs that have the column", value("runs"), step),
    numeric("censored", "of them, runs that never grok", value("censored"), step),
    ...(summaries.some((row) => row.why) ? [{ title: "why", help: "what the verdict rests on", value: value("why"), cell: (row) => row.why || "–" }] : []),
  ];
}

function rowColumns() {
  const value = (name) => (row) => row[name];
  const named = (title, name) => ({ title, help: title, value: value(name), cell: value(name) });
  return [
    named("measure", "column"),
    named("run", "run"),
    numeric("memorised", "step", value("memorisation_step"), step),
    numeric("transition", "the measure's own change point, step", value("transition_step"), step),
    numeric("grokked", "step", value("grokking_step"), step),
    numeric("lead", "steps from the measure's transition to grokking", value("lead"), (v) => number(v, 6)),
    numeric("log lead", "log10 of the two steps' ratio", value("log_lead"), (v) => number(v, 3)),
    numeric("ρ", "Spearman's rank correlation with test accuracy", value("spearman"), (v) => number(v, 2)),
    numeric("τ", "Kendall's rank correlation with test accuracy", value("kendall"), (v) => number(v, 2)),
    numeric("partial ρ", "controlled", value("partial"), (v) => number(v, 2)),
  ];
}

function setUpSettings() {
  const { shared, unset, differing } = DATA.settings;
  if (!shared.length && !differing.length) return;
  byId("settings").hidden = false;
  const shared_ = make("div", { class: "tables" }, ...settingGroups(shared).map(([table, rows]) => make("div", { class: "group" }, make("h4", null, table), make("dl", null, ...rows.flatMap(([name, value]) => [make("dt", null, name), make("dd", null, value)])))));
  show(
    byId("settings-body"),
    differing.length ? make("h3", null, "In which the runs differ") : null,
    differing.length ? plainTable("Settings in which the runs differ", ["setting", ...RUNS.map((run) => run.name)], differing.map(([name, values]) => [name, ...values])) : null,
    shared.length ? make("h3", null, RUNS.length > 1 ? "Which they share" : "Settings") : null,
    shared_,
    unset.length ? make("p", { class: "small" }, `Not set: ${unset.join(", ")}.`) : null,
  );
}

function settingGroups(shared) {
  const groups = new Map();
  for (const [name, value] of shared) {
    const dot = name.indexOf(".");
    const table = dot < 0 ? "run" : name.slice(0, dot);
    if (!groups.has(table)) groups.set(table, []);
    groups.get(table).push([name.slice(dot + 1), value]);
  }
  return [...groups];
}

function runsOf(entry) {
  return entry.runs.length === RUNS.length ? "all" : entry.runs.map((at) => RUNS[at].label).join("; ");
}

function setUpProvenance() {
  byId("provenance").hidden = false;
  const several = DATA.provenance.some((entry) => entry.runs.length < RUNS.length);
  const measures = DATA.provenance.map((entry) => [
    entry.measure,
    String(entry.version),
    entry.parameters.map(([name, value]) => `${name}=${value}`).join(", ") || "–",
    entry.plugin,
    `${entry.distribution} ${entry.distribution_version}`.trim(),
    entry.source || "–",
    ...(several ? [runsOf(entry)] : []),
  ]);
  const code = (text) => (text ? make("code", { class: "hash" }, text) : "–");
  const runs = RUNS.map((run) => [run.name, code(run.origin.id), missing(run.origin.seed) ? "–" : String(run.origin.seed), code(run.origin.config), code(run.origin.task), code(run.origin.data)]);
  show(
    byId("provenance-body"),
    measures.length ? make("h3", null, "Measures") : null,
    measures.length ? plainTable("Measures", ["measure", "version", "parameters", "plugin", "distribution", "source", ...(several ? ["runs"] : [])], measures) : null,
    make("h3", null, "Runs"),
    plainTable("Runs and their hashes", ["run", "id", "seed", "configuration, sha256", "task, sha256", "data, sha256"], runs),
    DATA.words.length ? make("h3", null, "What measures say in words") : null,
    DATA.words.length ? plainTable("What measures say in words", ["column", "words", "runs"], DATA.words.map((entry) => [entry.column, entry.said, runsOf(entry)])) : null,
  );
}
