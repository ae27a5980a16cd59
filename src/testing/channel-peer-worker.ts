/**
 * One of two threads that hammer each other through channels: writes seeded records of all lengths
 * while it checks those of the other. Spins: sleeping is the doorbell's subject, not the channel's.
 */

import { parentPort, workerData } from "node:worker_threads";
import {
  ChannelReader,
  ChannelWriter,
  type RecordSink,
  recordWordsMax,
} from "../reactor/channel.ts";
import { assert } from "../util/assert.ts";
import { Prng } from "../util/prng.ts";

export interface ChannelPeerTask {
  readonly name: "a" | "b";
  readonly seed: number | string;
  readonly records: number;
  readonly writes: SharedArrayBuffer;
  readonly reads: SharedArrayBuffer;
}

export interface ChannelPeerReport {
  readonly problem: string | null;
  readonly received: number;
  /** How often the ring had no room. */
  readonly fullCount: number;
}

const CAPACITY_WORDS_MIN = 512;

/** The records of one peer: both sides make the same ones. */
class RecordSource {
  readonly words = new Int32Array(recordWordsMax(CAPACITY_WORDS_MIN));
  readonly #prng: Prng;
  length = 0;

  constructor(label: string) {
    this.#prng = new Prng(label);
  }

  /** Makes the next record: its number, seeded words, and their sum. */
  next(number: number): void {
    this.length = 2 + (this.#prng.below(10) === 0 ? this.#prng.below(this.words.length - 1) : 3);
    let sum = number;
    this.words[0] = number;
    for (let index = 1; index < this.length - 1; index++) {
      const word = this.#prng.nextUint32() | 0;
      this.words[index] = word;
      sum = (Math.imul(sum, 31) + word) | 0;
    }
    this.words[this.length - 1] = sum;
  }
}

class Checker implements RecordSink {
  received = 0;
  problem: string | null = null;
  readonly #expected: RecordSource;

  constructor(expected: RecordSource) {
    this.#expected = expected;
  }

  record(words: Int32Array, at: number, length: number): void {
    const expected = this.#expected;
    expected.next(this.received);
    if (length !== expected.length) this.#fail(`length ${length}, not ${expected.length}`);
    for (let index = 0; index < length; index++) {
      if (words[at + index] !== expected.words[index]) this.#fail(`word ${index} differs`);
    }
    this.received++;
  }

  #fail(what: string): void {
    this.problem ??= `record ${this.received}: ${what}`;
  }
}

function run(task: ChannelPeerTask): ChannelPeerReport {
  const other = task.name === "a" ? "b" : "a";
  const source = new RecordSource(`${task.seed} ${task.name}`);
  const checker = new Checker(new RecordSource(`${task.seed} ${other}`));
  const pace = new Prng(`${task.seed} pace ${task.name}`);
  const writer = new ChannelWriter(task.writes);
  const reader = new ChannelReader(task.reads);
  let sent = 0;
  let fullCount = 0;
  source.next(0);
  while ((sent < task.records || checker.received < task.records) && checker.problem === null) {
    for (let batch = pace.below(40); batch > 0 && sent < task.records; batch--) {
      if (!writer.push(source.words, 0, source.length)) {
        fullCount++;
        break;
      }
      source.next(++sent);
    }
    writer.publish();
    if (pace.below(3) === 0) reader.read(checker);
  }
  return { problem: checker.problem, received: checker.received, fullCount };
}

assert(parentPort !== null, "channel-peer-worker runs as a worker");
parentPort.postMessage(run(workerData as ChannelPeerTask));
