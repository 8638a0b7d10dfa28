"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const bubble = document.getElementById("value");
const dialog = document.querySelector("dialog");
const decoded = new Map();

function hexes(text) {
  return text.match(/.{6}/g);
}

/* Text of each colour of a panel. */
function texts(panel) {
  if (!panel.scale) {
    return new Map(Object.entries(panel.names));
  }
  const { map, ticks, unit } = panel.scale;
  const colours = hexes(facts.maps[map]);
  const half = (colours.length - 1) / (ticks.length - 1);
  return new Map(colours.map((colour, i) => {
    const part = Math.min(Math.floor(i / half), ticks.length - 2);
    const value = ticks[part] + (ticks[part + 1] - ticks[part]) * (i / half - part);
    return [colour, ("\u2248 " + Number(value.toPrecision(3)) + " " + unit).trim()];
  }));
}

/* Pixels and texts of a panel, decoded when first pointed at. */
function decode(image) {
  const number = image.dataset.panel;
  if (!decoded.has(number)) {
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    decoded.set(number, { pixels, texts: texts(facts.panels[number]) });
  }
  return decoded.get(number);
}

function valueAt(image, event) {
  const box = image.getBoundingClientRect();
  const [u, v] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  if (u < 0 || v < 0 || u >= 1 || v >= 1) {
    return "";
  }
  const panel = facts.panels[image.dataset.panel];
  const place = "y " + Math.floor(v * panel.height) + ", x " + Math.floor(u * panel.width);
  const { pixels, texts } = decode(image);
  const at = 4 * (Math.floor(v * pixels.height) * pixels.width + Math.floor(u * pixels.width));
  const rgb = Array.from(pixels.data.slice(at, at + 3), (part) => part.toString(16).padStart(2, "0")).join("");
  return texts.has(rgb) ? place + ": " + texts.get(rgb) : place;
}

function follow(event) {
  const image = event.target.closest("img[data-panel]");
  const text = image && image.complete ? valueAt(image, event) : "";
  bubble.hidden = !text;
  if (text) {
    bubble.textContent = text;
    const left = event.clientX + 16 + bubble.offsetWidth > innerWidth ? event.clientX - 16 - bubble.offsetWidth : event.clientX + 16;
    bubble.style.left = Math.max(0, left) + "px";
    bubble.style.top = Math.min(event.clientY + 16, innerHeight - 40) + "px";
  }
}

function enlarge(button) {
  const small = button.querySelector("img");
  const large = dialog.querySelector("img");
  const panel = facts.panels[small.dataset.panel];
  const zoom = Math.min(innerWidth * 0.92 / panel.width, (innerHeight * 0.96 - 90) / panel.height);
  large.src = small.src;
  large.alt = small.alt;
  large.dataset.panel = small.dataset.panel;
  large.width = Math.max(1, Math.floor(panel.width * zoom));
  large.height = Math.max(1, Math.floor(panel.height * zoom));
  large.style.imageRendering = zoom * panel.width > small.naturalWidth ? "pixelated" : "auto";
  dialog.querySelector("header span").textContent = panel.label;
  dialog.append(bubble);
  dialog.showModal();
}

document.addEventListener("pointermove", follow);
document.addEventListener("click", (event) => {
  const button = event.target.closest("figure button");
  if (button) {
    enlarge(button);
  } else if (event.target === dialog || event.target.closest("dialog header button")) {
    dialog.close();
  }
});
dialog.addEventListener("close", () => {
  bubble.hidden = true;
  document.body.append(bubble);
});
