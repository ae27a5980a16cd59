// The checker against disks that a program plays: histories of an honest one are never refused,
// those of a disk with one vice are, sooner or later.

import { deepStrictEqual, ok } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../util/prng.ts";
import { History, type HistoryOp } from "./history.ts";
import { UNSEEN } from "./sector-pattern.ts";

type Vice =
  | "none"
  | "forgets-flushed"
  | "flushes-nothing"
  | "reads-stale"
  | "late-write"
  | "lost-write"
  | "does-refused"
  | "unstable"
  | "fua-not-forced"
  | "hides-loss"
  | "compares-early";

const STEPS = 40;

/** One sector in memory: what is seen, and what a loss of power may leave. */
class PlayedDisk {
  readonly history = new History({ sectorCount: 1 });
  readonly #prng: Prng;
  readonly #vice: Vice;
  /** Values since the last flush, the last being seen. */
  #values: number[] = [0];
  #before = 0;
  readonly #pending: { op: HistoryOp; isDone: boolean; found: number; covers: number }[] = [];
  /** Losses of acknowledged writes, and how many of them a flush has reported. */
  #losses = 0;
  #reported = 0;

  constructor(seed: number, vice: Vice) {
    this.#prng = new Prng(seed);
    this.#vice = vice;
  }

  play(): string[] {
    for (let step = 0; step < STEPS; step++) this.#step();
    while (this.#pending.length > 0) this.#advance();
    this.#begin("read");
    this.#advance();
    while (this.#pending.length > 0) this.#advance();
    return this.history.judge().flatMap(({ message, lines }) => [message, ...(lines ?? [])]);
  }

  #step(): void {
    const draw = this.#prng.below(20);
    if (draw < 4) this.#begin("write");
    else if (draw === 4) this.#begin("compare-and-write");
    else if (draw < 9) this.#begin("read");
    else if (draw === 9) this.#begin("flush");
    else if (draw === 10) this.#losePower();
    else if (draw === 11) this.#fail();
    else this.#advance();
  }

  #begin(kind: "read" | "write" | "flush" | "compare-and-write"): void {
    if (this.#pending.length >= 4) return;
    const isCompare = kind === "compare-and-write";
    const op = this.history.begin({
      client: "c",
      kind,
      first: 0,
      count: 1,
      fua: kind === "write" && this.#prng.below(4) === 0,
      expected: isCompare ? Int32Array.of(this.#seen) : null,
    });
    const covers = this.#values.length;
    this.#pending.push({
      op,
      isDone: false,
      found: UNSEEN,
      covers: isCompare ? this.#seen : covers,
    });
  }

  get #seen(): number {
    return this.#values.at(-1) ?? 0;
  }

  /** An operation under way takes effect, or is answered. */
  #advance(): void {
    if (this.#pending.length === 0) return;
    const index = this.#prng.below(this.#pending.length);
    const item = this.#pending[index];
    if (item === undefined) return;
    if (!item.isDone) {
      item.isDone = true;
      item.found = this.#effect(item.op);
      return;
    }
    this.#pending.splice(index, 1);
    this.#answer(item.op, item.found);
  }

  /** @returns what it has found */
  #effect(op: HistoryOp): number {
    const vice = this.#prng.below(2) === 0 ? this.#vice : "none";
    const { kind, value } = op;
    if (kind === "read") {
      if (vice === "unstable" && this.#values.length > 1) this.#values.pop();
      return vice === "reads-stale" ? this.#before : this.#seen;
    }
    if (kind === "flush") {
      // Every flush tells of a loss until one that did is answered.
      if (this.#losses > this.#reported) return vice === "hides-loss" ? 1 : -this.#losses;
      if (vice !== "flushes-nothing") this.#values = [this.#seen];
      return 1;
    }
    if (kind === "compare-and-write") {
      const isEqual = op.expected?.[0] === this.#seen || vice === "compares-early";
      if (isEqual || vice === "does-refused") this.#write(value);
      return isEqual ? 1 : 0;
    }
    if (vice === "lost-write") return 1;
    if (vice === "late-write") {
      const seen = this.#seen;
      this.#values.push(value, seen);
      return 1;
    }
    this.#write(value);
    if (op.fua && vice !== "fua-not-forced") this.#values = [value];
    return 1;
  }

  #write(value: number): void {
    this.#before = this.#seen;
    this.#values.push(value);
  }

  #answer(op: HistoryOp, found: number): void {
    const { history } = this;
    if (op.kind === "flush" && found < 0) this.#report(found);
    if (op.kind === "read") history.end(op, { outcome: "ok", seen: Int32Array.of(found) });
    else if (found < 0) history.end(op, { outcome: "data-lost" });
    else if (found === 0) history.end(op, { outcome: "refused", differs: 0 });
    else history.end(op, { outcome: "ok" });
  }

  /** Flushes that are under way when one tells of a loss tell of it as well. */
  #report(found: number): void {
    this.#reported = Math.max(this.#reported, -found);
    for (const item of this.#pending) {
      if (item.op.kind !== "flush") continue;
      item.isDone = true;
      item.found = Math.min(item.found, found);
    }
  }

  /** All that is under way is answered by silence; some of it happens. */
  #losePower(): void {
    const isTold = this.#prng.below(2) === 0;
    if (isTold) this.#failAll();
    const keep = this.#prng.below(this.#values.length);
    const before = this.#seen;
    this.#before = before;
    this.#values = [this.#vice === "forgets-flushed" ? 0 : (this.#values[keep] ?? 0)];
    // What has no answer is sent again, but not what is not the same when done twice.
    for (const item of this.#pending) {
      item.isDone &&= item.op.kind === "compare-and-write";
    }
    if (!isTold && this.#seen !== before) this.#losses++;
    if (isTold) this.#reported = this.#losses;
    this.history.powerLoss(isTold);
  }

  #failAll(): void {
    while (this.#pending.length > 0) this.#fail();
  }

  /** One under way fails; it may have happened. */
  #fail(): void {
    const item = this.#pending.pop();
    if (item === undefined) return;
    if (item.op.kind === "write" && !item.isDone && this.#prng.below(2) === 0) {
      this.#write(item.op.value);
    }
    this.history.end(item.op, { outcome: "failed" });
  }
}

test("History accepts every history of an honest disk", () => {
  for (let seed = 1; seed <= 1500; seed++) {
    const disk = new PlayedDisk(seed, "none");
    deepStrictEqual(disk.play(), [], `seed ${seed}`);
    deepStrictEqual(disk.history.undecided, 0, `seed ${seed}`);
  }
});

const VICES: readonly Vice[] = [
  "forgets-flushed",
  "flushes-nothing",
  "reads-stale",
  "late-write",
  "lost-write",
  "does-refused",
  "unstable",
  "fua-not-forced",
  "hides-loss",
  "compares-early",
];

test("History refuses histories of a disk with any vice", () => {
  for (const vice of VICES) {
    let seed = 1;
    while (seed <= 3000 && new PlayedDisk(seed, vice).play().length === 0) seed++;
    ok(seed <= 3000, `${vice} is caught`);
  }
});
