// Tiles of the node Pick Subjects: one for each segment, ticked by a click. The text widget `picks` holds what is
// ticked and goes into the workflow; the tiles come with each run and are kept nowhere.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const NODE = "SegsDetailerPick";
const CLASS = "segs-detailer-tiles";
const PICKS = "picks";
const TILE = 84;
const GAP = 6;
const LINE = 24;
const LEAST_HEIGHT = LINE + 2 * GAP;
const MOST_HEIGHT = 440;

// Milliseconds after which a new node has been drawn, on a fast machine and on slow ones.
const MOUNTING = [50, 250, 1000];

const TEXTS = {
  empty: "Run the workflow to see the segments.",
  none: "There are no segments.",
  all: "All are taken. Click those that you want.",
  some: "Taken: COUNT of TOTAL.",
  beyond: "There is no segment NUMBERS any more.",
};

const STYLE = `
.${CLASS} { display: flex; flex-direction: column; gap: ${GAP}px; overflow-y: auto; box-sizing: border-box;
  padding: 2px; font: 12px sans-serif; color: var(--input-text, #ddd); }
.${CLASS} p { margin: 0; line-height: ${LINE - GAP}px; flex: none; }
.${CLASS} p.wrong { color: var(--error-text, #ff6961); }
.${CLASS} div { display: grid; grid-template-columns: repeat(auto-fill, ${TILE}px); gap: ${GAP}px; }
.${CLASS} button { position: relative; width: ${TILE}px; height: ${TILE}px; padding: 0; overflow: hidden;
  border: 2px solid transparent; border-radius: 6px; background: #18181b; color: inherit; cursor: pointer; }
.${CLASS} button[aria-checked="true"] { border-color: var(--tile); }
.${CLASS}.some button[aria-checked="false"] img { opacity: 0.4; }
.${CLASS} button:focus-visible { outline: 2px solid var(--tile); }
.${CLASS} img { display: block; width: 100%; height: 100%; object-fit: cover; }
.${CLASS} span { position: absolute; left: 0; right: 0; bottom: 0; padding: 1px 4px; text-align: left;
  overflow: hidden; white-space: nowrap; text-overflow: ellipsis; background: #000a; color: var(--tile); }
.${CLASS} button[aria-checked="true"]::after { content: "✓"; position: absolute; top: 2px; right: 4px;
  color: var(--tile); text-shadow: 0 0 3px #000, 0 0 3px #000; }
`;

let texts = TEXTS;

/** Take the texts of the language that ComfyUI is set to, where the pack has them. */
async function loadTexts() {
  try {
    const locale = app.extensionManager?.setting?.get("Comfy.Locale") ?? "en";
    const answer = await api.fetchApi("/i18n");
    if (answer.ok) {
      const known = await answer.json();
      texts = { ...TEXTS, ...(known[locale]?.segsDetailer?.pick ?? {}) };
    }
  } catch (error) {
    console.warn("segs-detailer: texts stay English:", error);
  }
}

function addStyle() {
  const style = document.createElement("style");
  style.textContent = STYLE;
  document.head.append(style);
}

/** The whole numbers in a text such as "1,3"; what else is in it is for the node to refuse. */
function numbersIn(text) {
  return String(text ?? "")
    .split(",")
    .map((part) => part.trim())
    .filter((part) => /^\d+$/.test(part))
    .map(Number);
}

class Tiles {
  constructor(node, picks) {
    this.node = node;
    this.picks = picks;
    this.tiles = null;
    this.height = LEAST_HEIGHT;
    this.box = document.createElement("div");
    this.box.className = CLASS;
    this.line = document.createElement("p");
    this.grid = document.createElement("div");
    this.grid.setAttribute("role", "group");
    this.box.append(this.line, this.grid);
    // A press is for the tiles, and does not drag the node.
    this.box.addEventListener("pointerdown", (event) => event.stopPropagation());
    this.update();
  }

  /**
   * Put the tiles where Nodes 2.0 shows them. It keeps the element of a node that is gone where another one with the
   * same number takes its place, as when a workflow is opened again.
   */
  mount() {
    if (this.box.isConnected || app.canvas?.graph !== this.node.graph) {
      return;
    }
    document.querySelector(`[data-node-id="${this.node.id}"] .${CLASS}`)?.replaceWith(this.box);
  }

  /** Show what a run found. */
  fill(tiles) {
    this.tiles = tiles;
    this.mount();
    this.grid.replaceChildren(...tiles.map((tile) => this.button(tile)));
    this.update();
    this.fit();
  }

  button(tile) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.number = tile.number;
    button.setAttribute("role", "checkbox");
    button.title = `${tile.number} ${tile.label}`;
    button.style.setProperty("--tile", tile.color);
    if (tile.filename) {
      const picture = document.createElement("img");
      const address = { filename: tile.filename, subfolder: tile.subfolder, type: tile.type };
      picture.src = api.apiURL(`/view?${new URLSearchParams(address)}`);
      picture.alt = "";
      picture.draggable = false;
      button.append(picture);
    }
    const text = document.createElement("span");
    text.textContent = button.title;
    button.append(text);
    button.addEventListener("click", () => this.toggle(tile.number));
    return button;
  }

  toggle(number) {
    const picked = new Set(numbersIn(this.picks.value));
    if (!picked.delete(number)) {
      picked.add(number);
    }
    const text = [...picked].sort((a, b) => a - b).join(",");
    this.picks.value = text;
    // Nodes 2.0 shows a value that its callback was told of.
    this.picks.callback?.(text, app.canvas, this.node);
    this.update();
    this.node.setDirtyCanvas?.(true, true);
  }

  /** Tick what the text says. */
  update() {
    const picked = new Set(numbersIn(this.picks.value));
    const shown = new Set();
    for (const button of this.grid.children) {
      const number = Number(button.dataset.number);
      shown.add(number);
      button.setAttribute("aria-checked", String(picked.has(number)));
    }
    const beyond = [...picked].filter((number) => !shown.has(number)).sort((a, b) => a - b);
    this.box.classList.toggle("some", picked.size > 0);
    this.line.classList.toggle("wrong", shown.size > 0 && beyond.length > 0);
    this.line.textContent = this.said(picked, shown, beyond);
  }

  said(picked, shown, beyond) {
    if (this.tiles === null) {
      return texts.empty;
    }
    if (shown.size === 0) {
      return texts.none;
    }
    if (beyond.length > 0) {
      return texts.beyond.replace("NUMBERS", beyond.join(", "));
    }
    return picked.size === 0 ? texts.all : texts.some.replace("COUNT", picked.size).replace("TOTAL", shown.size);
  }

  /** Make room for all tiles, as far as that is reasonable. */
  fit() {
    const columns = Math.max(1, Math.floor((this.node.size[0] - 30) / (TILE + GAP)));
    const rows = Math.ceil(this.tiles.length / columns);
    this.height = Math.min(MOST_HEIGHT, LEAST_HEIGHT + rows * (TILE + GAP));
    this.box.style.minHeight = `${this.height}px`;
    this.box.style.maxHeight = `${MOST_HEIGHT}px`;
    const [, height] = this.node.computeSize();
    this.node.setSize([this.node.size[0], Math.max(this.node.size[1], height)]);
    this.node.setDirtyCanvas?.(true, true);
  }
}

/** Call a function after another one, which may not be there. */
function after(object, name, then) {
  const before = object[name];
  object[name] = function (...values) {
    const result = before?.apply(this, values);
    then(...values);
    return result;
  };
}

app.registerExtension({
  name: "segs-detailer.PickSubjects",

  async setup() {
    addStyle();
    await loadTexts();
  },

  nodeCreated(node) {
    if (node.comfyClass !== NODE) {
      return;
    }
    const picks = node.widgets?.find((widget) => widget.name === PICKS);
    if (!picks) {
      return;
    }
    const tiles = new Tiles(node, picks);
    const widget = node.addDOMWidget("tiles", "segs_detailer_tiles", tiles.box, {
      serialize: false,
      hideOnZoom: false,
      getMinHeight: () => tiles.height,
    });
    // Not in the workflow, and not in the prompt.
    widget.serialize = false;
    after(picks, "callback", () => tiles.update());
    after(node, "onConfigure", () => tiles.update());
    after(node, "onAdded", () => MOUNTING.forEach((delay) => setTimeout(() => tiles.mount(), delay)));
    after(node, "onExecuted", (output) => tiles.fill(output?.tiles ?? []));
  },
});
