// Elements, numbers and packed values. Foreign text becomes text nodes and attribute values, nothing else.

const SVG = "http://www.w3.org/2000/svg";

function byId(id) {
  return document.getElementById(id);
}

function make(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function draw(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function show(element, ...children) {
  element.replaceChildren(...children.filter(Boolean));
  return element;
}

// "4:..." is base64 of float32, "8:..." of float64, little-endian both.
function unpacked(text) {
  if (!text) return null;
  const bytes = Uint8Array.from(atob(text.slice(2)), (c) => c.charCodeAt(0));
  return text[0] === "4" ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer);
}

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

function powerOfTen(exponent) {
  return "10" + (exponent < 0 ? "⁻" : "") + [...String(Math.abs(exponent))].map((d) => SUPERSCRIPTS[d]).join("");
}

// As the command line shows numbers: four significant digits, a dash for what is missing.
function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e6 || size < 1e-4 ? scientific(value, digits) : String(Number(value.toPrecision(digits)));
  return text.replace("-", "−");
}

function scientific(value, digits) {
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  return `${Number(mantissa)}×${powerOfTen(Number(exponent))}`;
}

function step(value) {
  return value === null || value === undefined ? "–" : String(value);
}

function percent(value) {
  return value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)} %`;
}

function plural(count, word) {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

function listed(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`;
}

// The first index whose value is >= wanted, in ascending values.
function lowerBound(values, wanted) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

function nearest(values, wanted) {
  const at = lowerBound(values, wanted);
  if (at === 0) return 0;
  if (at === values.length) return at - 1;
  return values[at] - wanted < wanted - values[at - 1] ? at : at - 1;
}

// What scrolls by itself can be reached and scrolled by keyboard.
function scrolling(label, table) {
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);
}
