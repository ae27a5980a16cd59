/**
 * Coverage: which blocks of the product's code the runs have gone through, by V8's own counters.
 * A block is a stretch of code that a branch leads to: an edge of a state machine's diagram. On
 * only when asked for: it makes runs slower.
 */

import { Session } from "node:inspector";
import { sep } from "node:path";
import { fileURLToPath } from "node:url";

/** Code whose coverage matters: the state machines. */
const FOLDERS = ["block", "devices", "nexus", "proto", "shares"] as const;
/** Not that: tests, and code that only real machines run. */
const LEFT_OUT = /\.test\.ts$|conformance/;

interface V8Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

interface V8Script {
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly V8Range[] }[];
}

/** Of one file: where blocks begin, and which of them were gone through. */
export interface FileBlocks {
  readonly path: string;
  readonly blocks: readonly string[];
  readonly covered: readonly string[];
}

export interface CoverageTotals {
  readonly path: string;
  readonly blocks: number;
  readonly covered: number;
}

/** Counts from its making on, in this thread. */
export class BlockCoverage {
  readonly #session = new Session();

  constructor() {
    this.#session.connect();
    this.#session.post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** @param root the folder that has `src` or `dist`, by which paths are shortened */
  take(root: string): FileBlocks[] {
    let scripts: readonly V8Script[] = [];
    this.#session.post("Profiler.takePreciseCoverage", (error, result) => {
      if (error === null) scripts = result.result as readonly V8Script[];
    });
    this.#session.disconnect();
    return scripts.flatMap((script) => {
      const path = pathOf(script.url, root);
      return path === null ? [] : [blocksOf(path, script)];
    });
  }
}

/** The blocks of all threads together. */
export class CoverageSum {
  readonly #files = new Map<string, { blocks: Set<string>; covered: Set<string> }>();

  add(files: readonly FileBlocks[]): void {
    for (const { path, blocks, covered } of files) {
      let file = this.#files.get(path);
      if (file === undefined) {
        file = { blocks: new Set(), covered: new Set() };
        this.#files.set(path, file);
      }
      for (const block of blocks) file.blocks.add(block);
      for (const block of covered) file.covered.add(block);
    }
  }

  /** By path. */
  get totals(): CoverageTotals[] {
    const totals = [...this.#files].map(([path, { blocks, covered }]) => ({
      path,
      blocks: blocks.size,
      covered: covered.size,
    }));
    return totals.sort((one, other) => (one.path < other.path ? -1 : 1));
  }
}

function pathOf(url: string, root: string): string | null {
  if (!url.startsWith("file:")) return null;
  const path = fileURLToPath(url);
  if (!path.startsWith(root + sep) || LEFT_OUT.test(path)) return null;
  const parts = path.slice(root.length + 1).split(sep);
  const isOurs = FOLDERS.some((folder) => parts[1] === folder);
  return isOurs ? parts.join("/") : null;
}

function blocksOf(path: string, script: V8Script): FileBlocks {
  const blocks: string[] = [];
  const covered: string[] = [];
  for (const { ranges } of script.functions) {
    for (const { startOffset, endOffset, count } of ranges) {
      const block = `${startOffset}-${endOffset}`;
      blocks.push(block);
      if (count > 0) covered.push(block);
    }
  }
  return { path, blocks, covered };
}
