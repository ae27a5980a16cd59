/**
 * A pipe as a picture: boxes from left to right, source --> filters --> share, legs one above the
 * other to the left of the stage that stands on them.
 *
 * Self-contained SVG, light, in a fixed-width font so that boxes fit their words anywhere. Faulted
 * legs are red. Pure.
 */

import { isFaulted, legHealth, type PipeGraph, printable, stageFacts } from "./pipe-graph.ts";
import type { StageListing } from "./replumb.ts";

const MARGIN = 24;
const TITLE_HEIGHT = 36;
const GAP_X = 44;
const GAP_Y = 28;
const BOX_PADDING = 12;
const LINE_HEIGHT = 17;
const FONT_SIZE = 13;
/** Of a fixed-width font, with a little to spare. */
const CHARACTER_WIDTH = 8;
const TITLE_CHARACTER_WIDTH = 9.5;
const TITLE_CHARACTERS_MAX = 120;
const NOTE_CHARACTERS_MAX = 96;
const LINE_CHARACTERS_MAX = 34;
const TEXT_LINES_MAX = 4;
const ELLIPSIS = "…";

const COLOURS = {
  source: { fill: "#e8f1fb", stroke: "#2b6cb0" },
  filter: { fill: "#f4f4f5", stroke: "#52525b" },
  share: { fill: "#e9f7ef", stroke: "#2f855a" },
  faulted: { fill: "#fdecec", stroke: "#c53030" },
} as const;
type Look = keyof typeof COLOURS;

/** Something drawn, with its top left at 0, 0. Lines meet it at `middle` on both sides. */
interface Block {
  readonly width: number;
  readonly height: number;
  readonly middle: number;
  readonly look: Look;
  /** At an offset. */
  draw(x: number, y: number): string[];
}

/** A whole SVG document. */
export function graphSvg(graph: PipeGraph): string {
  const state = graph.failure === "" ? graph.state : `${graph.state}: ${graph.failure}`;
  const title = shorten(`${graph.name}: ${state}`, TITLE_CHARACTERS_MAX);
  const share = box({ title: "share", lines: wrap(graph.share), look: "share", full: graph.share });
  const body =
    graph.stages.length === 0
      ? box({ title: graph.state, lines: wrap(graph.text), look: "faulted", full: graph.text })
      : row([...stageBlocks(graph.stages, false), share]);
  const width = Math.max(body.width, title.length * TITLE_CHARACTER_WIDTH) + 2 * MARGIN;
  const height = body.height + TITLE_HEIGHT + 2 * MARGIN;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ` +
      `viewBox="0 0 ${width} ${height}" font-family="ui-monospace, DejaVu Sans Mono, Menlo, ` +
      `Consolas, monospace" font-size="${FONT_SIZE}">`,
    `<title>${escapeXml(title)}</title>`,
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" ' +
      'markerHeight="8" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#52525b"/></marker></defs>',
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    words(title, MARGIN, MARGIN + FONT_SIZE, 'font-weight="bold" font-size="15"'),
    ...body.draw(MARGIN, MARGIN + TITLE_HEIGHT),
    "</svg>",
    "",
  ].join("\n");
}

/** From left to right; the first may be a stack of legs in front of its stage. */
function stageBlocks(stages: readonly StageListing[], faulted: boolean): Block[] {
  return stages.map((stage, index) => {
    const look = faulted ? "faulted" : index === 0 ? "source" : "filter";
    const own = stageBox(stage, look);
    if (stage.legs.length === 0) return own;
    const legs = stage.legs.map((leg, at) => {
      const health = legHealth(stage, at);
      const bad = faulted || isFaulted(health);
      const note = [health.state, health.reason].filter((word) => word !== "").join(": ");
      const said = `leg ${at + 1}${note === "" ? "" : `: ${note}`}`;
      return noted(row(stageBlocks(leg, bad)), shorten(said, NOTE_CHARACTERS_MAX));
    });
    return fan(legs, own);
  });
}

function stageBox(stage: StageListing, look: Look): Block {
  const { kind, label, text, place } = stage;
  const title = `${place} ${kind}${label === null ? "" : ` #${label}`}`;
  const lines = [...(text === kind ? [] : wrap(text)), stageFacts(stage)];
  return box({ title, lines, look, full: text });
}

function box(parts: {
  readonly title: string;
  readonly lines: readonly string[];
  readonly look: Look;
  /** For whoever points at it. */
  readonly full: string;
}): Block {
  const { title, lines, look, full } = parts;
  const longest = Math.max(title.length, ...lines.map((line) => line.length));
  const width = longest * CHARACTER_WIDTH + 2 * BOX_PADDING;
  const height = (lines.length + 1) * LINE_HEIGHT + 2 * BOX_PADDING;
  const { fill, stroke } = COLOURS[look];
  return {
    width,
    height,
    middle: height / 2,
    look,
    draw: (x, y) => [
      "<g>",
      `<title>${escapeXml(full)}</title>`,
      `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="6" fill="${fill}" ` +
        `stroke="${stroke}" stroke-width="1.5"/>`,
      ...[title, ...lines].map((line, index) => {
        const style = index === 0 ? `font-weight="bold" fill="${stroke}"` : 'fill="#27272a"';
        const baseline = y + BOX_PADDING + index * LINE_HEIGHT + FONT_SIZE;
        return words(line, x + BOX_PADDING, baseline, style);
      }),
      "</g>",
    ],
  };
}

/** Side by side, joined by arrows. */
function row(blocks: readonly Block[]): Block {
  const middle = Math.max(...blocks.map((block) => block.middle));
  const below = Math.max(...blocks.map((block) => block.height - block.middle));
  const width = blocks.reduce((sum, block) => sum + block.width + GAP_X, -GAP_X);
  const last = blocks.at(-1) as Block; // a pipe has a stage
  return {
    width,
    height: middle + below,
    middle,
    look: last.look,
    draw: (x, y) => {
      const drawn: string[] = [];
      let left = x;
      for (const [index, block] of blocks.entries()) {
        drawn.push(...block.draw(left, y + middle - block.middle));
        left += block.width;
        const look = block.look === "faulted" ? "faulted" : "filter";
        if (index < blocks.length - 1)
          drawn.push(arrow(left, y + middle, left + GAP_X, y + middle, look));
        left += GAP_X;
      }
      return drawn;
    },
  };
}

/** Blocks one above the other, right-aligned, each with an arrow to the stage on their right. */
function fan(legs: readonly Block[], stage: Block): Block {
  const stackHeight = legs.reduce((sum, leg) => sum + leg.height + GAP_Y, -GAP_Y);
  const stackWidth = Math.max(...legs.map((leg) => leg.width));
  const height = Math.max(stackHeight, stage.height);
  return {
    width: stackWidth + GAP_X + stage.width,
    height,
    middle: height / 2,
    look: stage.look,
    draw: (x, y) => {
      const stageX = x + stackWidth + GAP_X;
      const drawn = stage.draw(stageX, y + height / 2 - stage.middle);
      let top = y + (height - stackHeight) / 2;
      for (const leg of legs) {
        drawn.push(...leg.draw(x + stackWidth - leg.width, top));
        drawn.push(arrow(x + stackWidth, top + leg.middle, stageX, y + height / 2, leg.look));
        top += leg.height + GAP_Y;
      }
      return drawn;
    },
  };
}

/** With a line of words above. */
function noted(block: Block, note: string): Block {
  const width = Math.max(block.width, note.length * CHARACTER_WIDTH);
  const colour = block.look === "faulted" ? COLOURS.faulted.stroke : "#52525b";
  return {
    width,
    height: block.height + LINE_HEIGHT,
    middle: block.middle + LINE_HEIGHT,
    look: block.look,
    draw: (x, y) => [
      words(note, x, y + FONT_SIZE - 2, `fill="${colour}"`),
      ...block.draw(x + width - block.width, y + LINE_HEIGHT),
    ],
  };
}

function arrow(x1: number, y1: number, x2: number, y2: number, look: Look): string {
  const stroke = look === "faulted" ? COLOURS.faulted.stroke : COLOURS.filter.stroke;
  const dash = look === "faulted" ? ' stroke-dasharray="5 4"' : "";
  const bend = (x1 + x2) / 2;
  const path = `M${x1} ${y1} C${bend} ${y1} ${bend} ${y2} ${x2} ${y2}`;
  const style = `fill="none" stroke="${stroke}" stroke-width="1.5"${dash}`;
  return `<path d="${path}" ${style} marker-end="url(#arrow)"/>`;
}

function words(text: string, x: number, y: number, style: string): string {
  return `<text x="${x}" y="${y}" xml:space="preserve" ${style}>${escapeXml(text)}</text>`;
}

/** Cut anywhere: paths have no spaces. */
function wrap(text: string): string[] {
  const characters = [...printable(text)];
  const lines: string[] = [];
  while (characters.length > 0 && lines.length < TEXT_LINES_MAX) {
    lines.push(characters.splice(0, LINE_CHARACTERS_MAX).join(""));
  }
  if (characters.length > 0) lines.push(`${(lines.pop() ?? "").slice(0, -1)}${ELLIPSIS}`);
  return lines;
}

function shorten(text: string, charactersMax: number): string {
  const characters = [...text];
  if (characters.length <= charactersMax) return text;
  return `${characters.slice(0, charactersMax - 1).join("")}${ELLIPSIS}`;
}

function escapeXml(text: string): string {
  return printable(text)
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}
