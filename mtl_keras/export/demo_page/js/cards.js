/** One card for each task. */

const percent = (score) => `${(100 * score).toFixed(1)} %`;
const number = (value) => Number(value.toPrecision(4)).toLocaleString("en");
const MOST_BARS = 8;

function element(tag, classes = "", text = "") {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  if (text) made.textContent = text;
  return made;
}

/** A card without an answer yet. */
export function emptyCard(task) {
  const card = element("article", "card");
  card.dataset.task = task;
  card.append(element("h2", "", task.replaceAll("_", " ")), element("p", "answer empty", "–"));
  return card;
}

/** Put a result into a task's card. */
export function fill(card, result) {
  const heading = card.querySelector("h2");
  const contents = { classification: classes, ordinal: classes, multilabel, regression, values: array }[result.kind](result);
  card.replaceChildren(heading, ...contents);
}

function headline(text, aside = "") {
  const line = element("p", "answer");
  line.append(element("span", "", text));
  if (aside) line.append(element("span", "score", aside));
  return line;
}

function track(score, classes) {
  const made = element("span", `track ${classes}`);
  const filled = element("span");
  filled.style.width = `${Math.min(100, Math.max(0, 100 * score))}%`;
  made.append(filled);
  return made;
}

function bars(scores, isChosen) {
  const list = element("ul", "bars");
  for (const { label, score } of scores) {
    const chosen = isChosen(label) ? "chosen" : "";
    const item = element("li");
    item.append(element("span", chosen, label), element("span", `percent ${chosen}`, percent(score)));
    item.append(track(score, chosen));
    list.append(item);
  }
  return list;
}

function classes({ kind, label, score, top, scores }) {
  const first = headline(label, percent(score));
  // ordered classes are shown in their order
  if (kind === "ordinal" && scores.length <= MOST_BARS) return [first, bars(scores, (name) => name === label)];
  return [first, track(score, "chosen"), bars(top.slice(1), () => false)];
}

function multilabel({ labels, scores }) {
  const shown = [...scores].sort((one, other) => other.score - one.score).slice(0, Math.max(MOST_BARS, labels.length));
  return [headline(labels.join(", ") || "none"), bars(shown, (name) => labels.includes(name))];
}

function regression({ values, units }) {
  return values.map((value, index) => {
    const line = element("p", "answer");
    const text = element("span", "", number(value));
    if (units[index]) text.append(" ", element("span", "unit", units[index]));
    line.append(text);
    return line;
  });
}

function array({ values, shape }) {
  const [low, high] = values.reduce(([least, most], v) => [Math.min(least, v), Math.max(most, v)], [Infinity, -Infinity]);
  const note = element("p", "note", `${shape.join(" × ")} values from ${number(low)} to ${number(high)}`);
  return shape.length === 3 ? [picture(values, shape, low, high), note] : [note];
}

/** An output shaped like a picture: one channel as grey, several as the strongest of them in its own colour. */
function picture(values, [height, width, channels], low, high) {
  const canvas = element("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let at = 0; at < height * width; at++) {
    let colour = [0, 0, 0];
    if (channels === 1) {
      colour.fill((255 * (values[at] - low)) / (high - low || 1));
    } else {
      let best = 0;
      for (let c = 1; c < channels; c++) if (values[at * channels + c] > values[at * channels + best]) best = c;
      colour = hue(best / channels);
    }
    image.data.set([...colour, 255], 4 * at);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function hue(turn) {
  const channel = (shift) => Math.round(255 * (0.55 + 0.4 * Math.cos(2 * Math.PI * (turn + shift))));
  return [channel(0), channel(2 / 3), channel(1 / 3)];
}
