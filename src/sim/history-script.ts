/**
 * HistoryScript: histories of one sector, written by hand as text, for tests of the checker.
 *
 *   "w1( w1) r1( r1=1) f( f) loss r2=1"
 *
 * `w1(` a write begins, `w1)` it is acknowledged; `w1!` it fails, `w1~` it fails and is late, `w1x`
 * it is closed. `w1` alone begins and ends at once. `W` writes with FUA, `z` zeroes, `c1:0` is a
 * compare-and-write that expects 0. `r1=1` a read saw value 1 (that of w1), `r1?` it failed. `f`
 * flushes, `f2!` one failed (and dooms), `f2?` one that was not answered for another reason, `f2$`
 * reported a loss. `loss`, `told-loss`, `wipe`, `doom`, `drop`, `rot` befall the sector.
 */

import { History, type HistoryOp, type HistoryOptions, type Violation } from "./history.ts";
import type { IoKind } from "./schedule.ts";
import { GARBAGE, UNSEEN } from "./sector-pattern.ts";

const KINDS: Readonly<Record<string, IoKind>> = {
  w: "write",
  W: "write",
  z: "zeroes",
  c: "compare-and-write",
  r: "read",
  f: "flush",
};

const WORD = /^([wWzcrf])(\d*)(?::(\w+))?(?:([()!~x?$])|=(\w+))?$/;

export class HistoryScript {
  readonly history: History;
  readonly #ops = new Map<string, HistoryOp>();
  readonly #expected = new Map<string, string>();
  readonly #events: Readonly<Record<string, () => void>> = {
    loss: () => this.history.powerLoss(false),
    "told-loss": () => this.history.powerLoss(true),
    wipe: () => this.history.wipe(false),
    doom: () => this.history.doom(),
    drop: () => this.history.dropCache(),
    rot: () => this.history.rot(0, 1),
  };

  constructor(options: Partial<HistoryOptions> = {}) {
    this.history = new History({ sectorCount: 1, ...options });
  }

  run(text: string): Violation[] {
    // Values are known by the write's name, also to reads that come before.
    for (const word of text.split(/\s+/)) this.#do(word);
    return this.history.judge();
  }

  #do(word: string): void {
    const befall = this.#events[word];
    if (befall !== undefined) {
      befall();
      return;
    }
    const match = WORD.exec(word);
    if (match === null) throw new Error(`not a word of a history: ${word}`);
    const [, letter = "", number = "", expected, mark, saw] = match;
    const name = letter + number;
    if (expected !== undefined) this.#expected.set(name, expected);
    if (mark === "(") this.#begin(letter, name);
    else if (mark === "x") this.history.abandon(this.#op(name));
    else {
      if (!this.#ops.has(name)) this.#begin(letter, name);
      this.#end(name, mark, saw);
    }
  }

  #begin(letter: string, name: string): void {
    const expected = this.#expected.get(name);
    const op = this.history.begin({
      client: "c",
      kind: KINDS[letter] ?? "read",
      first: 0,
      count: 1,
      fua: letter === "W",
      expected: expected === undefined ? null : Int32Array.of(this.#value(expected)),
    });
    this.#ops.set(name, op);
  }

  #end(name: string, mark: string | undefined, saw: string | undefined): void {
    const op = this.#op(name);
    if (saw !== undefined) {
      this.history.end(op, { outcome: "ok", seen: Int32Array.of(this.#value(saw)) });
    } else if (mark === "!" || mark === "?" || mark === "~") {
      const dooms = op.kind === "flush" && mark === "!";
      this.history.end(op, { outcome: "failed", isLate: mark === "~", dooms });
    } else if (mark === "$") {
      this.history.end(op, { outcome: "data-lost" });
    } else {
      this.history.end(op, { outcome: "ok" });
    }
  }

  /** `3` is what w3 (or W3, c3) wrote, 0 zeroes, `g` garbage. */
  #value(text: string): number {
    if (text === "0") return 0;
    if (text === "g") return GARBAGE;
    const op = ["w", "W", "c"].map((letter) => this.#ops.get(letter + text)).find(Boolean);
    if (op === undefined || op.value === UNSEEN) throw new Error(`nobody wrote value ${text}`);
    return op.value;
  }

  #op(name: string): HistoryOp {
    const op = this.#ops.get(name);
    if (op === undefined) throw new Error(`${name} has not begun`);
    return op;
  }
}
