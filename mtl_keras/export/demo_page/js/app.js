/** The page: loads the model, takes pictures, shows every task's answer. */

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { readOutput } from "./answers.js";
import { emptyCard, fill } from "./cards.js";
import { asInput, decode, formatted } from "./pixels.js";

const part = (id) => document.getElementById(id);
const page = await (await fetch("page.json")).json();
const cards = Object.fromEntries(Object.keys(page.tasks).map((task) => [task, emptyCard(task)]));
let latest = 0;

/** loading, ready, answered or failed: for whoever waits for the page, tests among them. */
function enter(state) {
  document.documentElement.dataset.state = state;
}

function complain(text) {
  part("alert").textContent = text;
  part("alert").hidden = !text;
  if (text) enter("failed");
}

function showFacts() {
  document.title = page.title;
  part("title").textContent = page.title;
  const size = page.bytes < 1e6 ? `${Math.round(page.bytes / 1e3)} kB` : `${(page.bytes / 1e6).toFixed(1)} MB`;
  const count = Object.keys(page.tasks).length;
  part("facts").textContent = `${count} ${count === 1 ? "task" : "tasks"} from one model of ${size}`;
  part("cards").replaceChildren(...Object.values(cards));
}

function showSamples() {
  for (const { file, name } of page.samples) {
    const button = document.createElement("button");
    const image = document.createElement("img");
    button.type = "button";
    button.dataset.sample = name;
    [image.src, image.alt] = [file, name];
    image.addEventListener("load", () => image.classList.toggle("small-picture", image.naturalWidth < 100));
    button.append(image);
    button.addEventListener("click", () => answer(fetched(file), name, button));
    part("strip").append(button);
  }
  part("samples").hidden = page.samples.length === 0;
}

function showInput({ width, height, channels, data }) {
  const canvas = part("input");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    for (let c = 0; c < 3; c++) image.data[4 * at + c] = data[at * channels + (channels === 1 ? 0 : c)];
    image.data[4 * at + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  part("input-size").textContent = `${width} × ${height} pixels, ${channels === 1 ? "grey" : "colour"}`;
  part("seen").hidden = false;
}

function showPicture(blob, name, button) {
  const preview = part("preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(blob);
  preview.alt = name;
  preview.hidden = false;
  preview.onload = () => preview.classList.toggle("small-picture", preview.naturalWidth < 100);
  part("caption").textContent = name;
  part("invitation").hidden = true;
  part("another").hidden = false;
  part("drop").classList.add("filled");
  for (const other of part("strip").children) other.setAttribute("aria-pressed", String(other === button));
}

/** Outputs of the model by task, and the milliseconds it took. */
async function run(pixels) {
  const { name, shape } = page.input;
  const input = new Tensor(asInput(pixels, page.input), [1, ...shape]);
  try {
    const began = performance.now();
    const outputs = await model.run(page.signature, { [name]: input });
    const values = {};
    for (const [task, output] of Object.entries(outputs)) {
      values[task] = await output.data();
      output.delete();
    }
    return { values, milliseconds: performance.now() - began };
  } finally {
    input.delete();
  }
}

async function fetched(file) {
  const response = await fetch(file);
  if (!response.ok) throw new Error(response.statusText);
  return response.blob();
}

/** Answer a picture (a blob, or the promise of one); of several chosen one after another only the last is shown. */
async function answer(source, name, button = null) {
  const turn = ++latest;
  enter("working");
  complain("");
  let blob, picture;
  try {
    blob = await source;
    picture = formatted(await decode(blob, page.input.format.background), page.input.format);
  } catch (error) {
    if (turn === latest) complain(`This browser cannot read ${name} as a picture: ${error.message}`);
    return;
  }
  const { values, milliseconds } = await run(picture.data);
  if (turn !== latest) return;
  showPicture(blob, name, button);
  showInput(picture);
  const results = {};
  for (const [task, about] of Object.entries(page.tasks)) {
    results[task] = readOutput(about, values[task]);
    fill(cards[task], results[task]);
  }
  part("timing").innerHTML = `All answers in <b>${milliseconds.toFixed(1)} ms</b>`;
  globalThis.demo = { name, results, milliseconds };
  enter("answered");
}

function listen() {
  const drop = part("drop");
  part("file").addEventListener("change", ({ target }) => {
    if (target.files.length) answer(target.files[0], target.files[0].name);
    target.value = ""; // the same file may be chosen again
  });
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
      const file = kind === "drop" && event.dataTransfer.files[0];
      if (file) answer(file, file.name);
    });
  }
  document.addEventListener("paste", ({ clipboardData }) => {
    const file = [...clipboardData.files].find(({ type }) => type.startsWith("image/"));
    if (file) answer(file, "the pasted picture");
  });
}

showFacts();
let model;
try {
  await loadLiteRt("litert/wasm/");
  model = await loadAndCompile(page.file, { accelerator: "wasm" });
  const { format } = page.input;
  await run(new Uint8Array(format.height * format.width * format.channels)); // the first run is slower than any other
  showSamples();
  listen();
  enter("ready");
} catch (error) {
  part("facts").textContent = "The model could not be loaded.";
  complain(`${error.message ?? error}`);
}
