// Random programs on mirrors whose children err, hang and answer late: two clients that overlap on
// purpose see one disk, and the children in sync hold the same at each quiet point.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { AwaitedRequest } from "../block/awaited-request.ts";
import { modifies } from "../block/device.ts";
import { Operation } from "../block/operation.ts";
import { PromiseDevice } from "../block/promise-device.ts";
import type { Request } from "../block/request.ts";
import { Status } from "../block/status.ts";
import { type MirrorRig, sleepOn, statesOf, withMirror } from "../testing/mirror-rig.ts";
import { RegisterHistory } from "../testing/register-history.ts";
import { HANG, PASS, type Turn } from "../testing/scripted-filter.ts";
import { Prng } from "../util/prng.ts";
import { READ_POLICIES } from "./read-policy.ts";

const IS_LONG = process.env.PENSTOCK_LONG === "1";
const PROGRAMS = IS_LONG ? 2000 : 60;
const ROUNDS = 6;
const OPERATIONS_PER_ROUND = 40;
const SECTOR = 512;
/** Few, so that most operations overlap others. */
const SECTORS = 24;
const SECTORS_PER_OPERATION_MAX = 8;
const ERRORS = [Status.mediaError, Status.pathLost, Status.notReady, Status.noSpace] as const;

/** Two clients, what they have seen of each sector, and a common clock of steps. */
class Program {
  readonly #rig: MirrorRig;
  readonly #random: Prng;
  readonly #sectors = Array.from({ length: SECTORS }, () => new RegisterHistory(0));
  readonly #clients: readonly PromiseDevice[];
  #step = 0;
  #lastValue = 0;

  constructor(rig: MirrorRig, random: Prng) {
    this.#rig = rig;
    this.#random = random;
    this.#clients = [rig.device, new PromiseDevice(rig.mirror)];
  }

  async round(): Promise<void> {
    const running: Promise<void>[] = [];
    for (let index = 0; index < OPERATIONS_PER_ROUND; index++) {
      running.push(this.#operate());
      if (this.#random.chance(0.3)) await sleepOn(this.#rig.reactor, this.#random.float() * 4);
    }
    await Promise.all(running);
    await this.#checkQuiet();
  }

  #operate(): Promise<void> {
    const first = this.#random.below(SECTORS);
    const most = Math.min(SECTORS_PER_OPERATION_MAX, SECTORS - first);
    const count = 1 + this.#random.below(most);
    const client = this.#random.pick(this.#clients);
    const choice = this.#random.below(20);
    if (choice < 8) return this.#write(client, first, count);
    if (choice < 17) return this.#read(client, first, count);
    if (choice === 17) return client.flush();
    return this.#compareAndWrite(first);
  }

  async #write(client: PromiseDevice, first: number, count: number): Promise<void> {
    const value = this.#newValue();
    this.#began(value, first, count);
    await client.writeAt(first * SECTOR, sectorsOf(value, count), {
      fua: this.#random.chance(0.1),
    });
    this.#ended(value, first, count);
  }

  async #read(client: PromiseDevice, first: number, count: number): Promise<void> {
    const start = ++this.#step;
    const bytes = await client.readAt(first * SECTOR, count * SECTOR);
    const end = ++this.#step;
    for (let index = 0; index < count; index++) {
      const value = valueIn(bytes.subarray(index * SECTOR, (index + 1) * SECTOR));
      this.#sectors[first + index]?.sawValue(value, start, end);
    }
  }

  /** From whatever was read just before: often it comes too late, then nothing is written. */
  async #compareAndWrite(sector: number): Promise<void> {
    const { mirror, reactor } = this.#rig;
    const { slabs } = reactor.io;
    const start = ++this.#step;
    const found = await this.#rig.device.readAt(sector * SECTOR, SECTOR);
    const history = this.#sectors[sector];
    history?.sawValue(valueIn(found), start, ++this.#step);
    const value = this.#newValue();
    const memory = slabs.allocate(2 * SECTOR);
    memory.bytes.set(found);
    memory.bytes.set(sectorsOf(value, 1), SECTOR);
    const request = new AwaitedRequest();
    request.segments.push(memory.id, 0, 2 * SECTOR);
    const began = ++this.#step;
    this.#began(value, sector, 1);
    const offset = sector * SECTOR;
    const ask = { operation: Operation.compareAndWrite, offset, length: SECTOR };
    const status = await request.run(mirror, ask);
    slabs.release(memory);
    ok(status === Status.ok || status === Status.compareFailed, `status ${status}`);
    if (status === Status.compareFailed) return;
    // At the moment of success it held what was compared.
    history?.sawValue(valueIn(found), began, ++this.#step);
    this.#ended(value, sector, 1);
  }

  #newValue(): number {
    this.#lastValue += 1;
    return this.#lastValue;
  }

  #began(value: number, first: number, count: number): void {
    const start = ++this.#step;
    for (let index = 0; index < count; index++)
      this.#sectors[first + index]?.writeBegan(value, start);
  }

  #ended(value: number, first: number, count: number): void {
    const end = ++this.#step;
    for (let index = 0; index < count; index++)
      this.#sectors[first + index]?.writeEnded(value, end);
  }

  /** Nothing runs: the children in sync are equal, and all that was seen fits one disk. */
  async #checkQuiet(): Promise<void> {
    const { mirror, media } = this.#rig;
    const states = statesOf(mirror);
    let content: Buffer | null = null;
    for (const [index, medium] of media.entries()) {
      if (states[index] !== "in-sync") continue;
      const found = await readBeside(this.#rig, medium.info.sizeBytes, index);
      if (content !== null) ok(found.equals(content), `child ${index} differs from another one`);
      content = found;
    }
    const start = ++this.#step;
    const end = ++this.#step;
    for (const [index, history] of this.#sectors.entries()) {
      const bytes = content?.subarray(index * SECTOR, (index + 1) * SECTOR);
      ok(bytes !== undefined, "one child is in sync");
      history.sawValue(valueIn(bytes), start, end);
      strictEqual(history.violation(), null, `sector ${index}`);
    }
  }
}

async function readBeside(rig: MirrorRig, length: number, index: number): Promise<Buffer> {
  const { slabs } = rig.reactor.io;
  const memory = slabs.allocate(length);
  const request = new AwaitedRequest();
  request.segments.push(memory.id, 0, length);
  const medium = rig.media[index];
  ok(medium !== undefined);
  strictEqual(await request.run(medium, { operation: Operation.read, length }), Status.ok);
  const copy = Buffer.from(memory.bytes.subarray(0, length));
  slabs.release(memory);
  return copy;
}

function sectorsOf(value: number, count: number): Uint8Array {
  const words = new Uint32Array((count * SECTOR) / 4).fill(value);
  return new Uint8Array(words.buffer);
}

/** A sector holds one write, whole. */
function valueIn(bytes: Uint8Array): number {
  const words = new Uint32Array(new Uint8Array(bytes).buffer);
  const value = words[0] ?? 0;
  ok(
    words.every((word) => word === value),
    "a torn sector",
  );
  return value;
}

/** How one child behaves from its `failAfter`th request on. */
function misbehave(random: Prng, failAfter: number, delayMs: number): (request: Request) => Turn {
  let requests = 0;
  const style = random.pick(["error", "error-after", "hang-all", "hang-some", "slow"] as const);
  const status = random.pick(ERRORS);
  return (request) => {
    requests++;
    if (requests < failAfter || style === "slow") return slow(random, delayMs);
    if (style === "hang-all") return HANG;
    if (style === "hang-some") return random.chance(0.2) ? HANG : slow(random, delayMs);
    // A read that is refused faults nobody; that it fails is then not what ends the story.
    const isChange = modifies(request.operation) || request.operation === Operation.flush;
    if (!isChange && status === Status.noSpace) return slow(random, delayMs);
    if (random.chance(0.7)) return slow(random, delayMs);
    return { kind: style === "error" ? "fail" : "pass-and-fail", status };
  };
}

function slow(random: Prng, delayMs: number): Turn {
  return random.chance(0.2) ? PASS : { kind: "delay", delayMs: random.float() * delayMs };
}

for (let index = 0; index < PROGRAMS; index++) {
  const seed = process.env.PENSTOCK_SEED ?? `mirror ${index}`;
  test(`random program ${seed}: two clients see one disk, children are equal when quiet`, () => {
    const random = new Prng(seed);
    const count = 2 + random.below(3);
    const options = {
      childTimeoutMs: 50,
      readPolicy: random.pick(READ_POLICIES),
      reactorOptions: { seed: random.below(2 ** 31) },
    };
    return withMirror(count, options, async (rig) => {
      const healthy = random.below(count);
      for (const [child, filter] of rig.legs.entries()) {
        const delayMs = 1 + random.below(5);
        const failAfter = random.below(ROUNDS * OPERATIONS_PER_ROUND);
        filter.script =
          child === healthy || random.chance(0.3)
            ? () => slow(random, delayMs)
            : misbehave(random, failAfter, delayMs);
      }
      const program = new Program(rig, random);
      for (let round = 0; round < ROUNDS; round++) {
        await program.round();
        // Late completions, some rounds after they were given up.
        if (random.chance(0.4)) for (const filter of rig.legs) filter.letGo();
      }
      for (const filter of rig.legs) {
        filter.script = () => PASS;
        filter.letGo();
      }
      await sleepOn(rig.reactor, 100);
      deepStrictEqual(rig.mirror.describe().orphans, { count: 0, bytes: 0 });
      strictEqual(rig.mirror.children[healthy]?.state.name, "in-sync");
      await program.round();
    });
  });
}
