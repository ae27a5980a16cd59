/**
 * `npm run bench:stages`: what stages cost inside a process: processor time per operation of a pipe
 * with a stage beside the same pipe without it, 4 KiB at depth 32 on one reactor.
 *
 *   node bench/stages.ts [--rounds N] [--operations N] [--only PATTERN] [--dir FOLDER]
 *
 * Both pipes are open at once and take turns (A B, B A, ...), so that a noisy minute hits both. A
 * figure is taken within each round, between neighbours in time; the median of the rounds counts,
 * their range tells how far noise reaches. The limits are those of issue 3.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import type { Device } from "../src/block/device.ts";
import { Operation } from "../src/block/operation.ts";
import { type MemoryPin, Request } from "../src/block/request.ts";
import { Status } from "../src/block/status.ts";
import { Branch } from "../src/pipe/branch.ts";
import { parsePipe } from "../src/pipe/grammar.ts";
import { planBranch } from "../src/pipe/registry.ts";
import { chooseLevel, openIo } from "../src/reactor/open-io.ts";
import { Reactor } from "../src/reactor/reactor.ts";
import { assert } from "../src/util/assert.ts";
import { Prng } from "../src/util/prng.ts";
import { uuidOfName } from "../src/util/uuid.ts";
import { median } from "./compare.ts";

const BLOCK_BYTES = 4096;
const SIZE_BYTES = 64 * 2 ** 20;
const DEPTH = 32;
const KEY_NAME = "PENSTOCK_BENCH_KEY";
const NO_PIN: MemoryPin = { release: () => undefined };

/** `added`: microseconds more than the base; `ratio`: times as many. */
type Figure = "added" | "ratio";

interface Contest {
  readonly name: string;
  readonly operation: "read" | "write";
  readonly base: string;
  readonly with: string;
  readonly figure: Figure;
  readonly max: number;
}

const size = `size=${SIZE_BYTES}B`;
const malloc = `malloc:///m?${size}&blocksize=4096`;
const nothing = `null:///n?${size}`;
const crypt = (sector: number): string => `crypt?key=env:${KEY_NAME}&sector=${sector}`;
const inert = "limit | delay | fault | log?level=off | slice?offset=0B";
const counting =
  "limit?iops=1000000000&bandwidth=1TiB | delay | fault | log?level=off | slice?offset=0B";

function contests(folder: string): Contest[] {
  const file = (name: string): string => `file://${join(folder, name)}?${size}`;
  const five = { base: nothing, figure: "added", max: 0.5 } as const;
  const encrypted = { base: malloc, figure: "added", max: 1.2 } as const;
  return [
    {
      name: "mirror of two files",
      operation: "write",
      base: file("alone"),
      with: `mirror(${file("first")}, ${file("second")})`,
      figure: "ratio",
      max: 2.2,
    },
    ...(["read", "write"] as const).flatMap((operation) => [
      { name: "crypt", operation, ...encrypted, with: `${malloc} | ${crypt(4096)}` },
    ]),
    { name: "five filters, inert", operation: "read", ...five, with: `${nothing} | ${inert}` },
    {
      name: "five filters, limit counting",
      operation: "read",
      ...five,
      with: `${nothing} | ${counting}`,
    },
  ];
}

/** Keeps DEPTH requests on their way, each at a random block. */
class Load {
  readonly #device: Device;
  readonly #operation: Operation;
  readonly #requests: LoadRequest[] = [];
  readonly #random = new Prng("stages");
  #left = 0;
  #busy = 0;
  #done: () => void = () => undefined;

  constructor(device: Device, operation: Operation) {
    this.#device = device;
    this.#operation = operation;
    const slab = device.reactor.io.slabs.allocate(DEPTH * BLOCK_BYTES);
    this.#random.fill(slab.bytes);
    for (let index = 0; index < DEPTH; index++) {
      const request = new LoadRequest(this);
      request.length = BLOCK_BYTES;
      request.segments.push(slab.id, index * BLOCK_BYTES, BLOCK_BYTES);
      this.#requests.push(request);
    }
  }

  /** Writes every block once, so that no later write allocates. */
  async fill(): Promise<void> {
    let block = 0;
    const place = (): number => block++ * BLOCK_BYTES;
    await this.#run(Operation.write, SIZE_BYTES / BLOCK_BYTES, place);
  }

  /** @returns microseconds of processor time per operation, of all threads of the process */
  async run(count: number): Promise<number> {
    const blocks = SIZE_BYTES / BLOCK_BYTES;
    const before = process.cpuUsage();
    await this.#run(this.#operation, count, () => this.#random.below(blocks) * BLOCK_BYTES);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / count;
  }

  next(request: LoadRequest): void {
    if (this.#left-- > 0) {
      request.offset = request.place();
      this.#device.submit(request);
    } else if (--this.#busy === 0) {
      this.#device.reactor.deliverLater(this.#done);
    }
  }

  #run(operation: Operation, count: number, place: () => number): Promise<void> {
    return new Promise((resolve) => {
      this.#done = resolve;
      this.#left = count;
      this.#busy = DEPTH;
      for (const request of this.#requests) {
        request.operation = operation;
        request.place = place;
        this.next(request);
      }
    });
  }
}

/** Pins its memory as a share's commands do; nothing hangs here. */
class LoadRequest extends Request {
  place: () => number = () => 0;
  readonly #load: Load;

  constructor(load: Load) {
    super();
    this.#load = load;
  }

  override get canPin(): boolean {
    return true;
  }

  override pinMemory(): MemoryPin {
    return NO_PIN;
  }

  override complete(): void {
    assert(this.status === Status.ok, "the load runs without errors");
    this.#load.next(this);
  }
}

async function openBranch(reactor: Reactor, text: string): Promise<Branch> {
  const instanceSeed = uuidOfName(text);
  const plan = planBranch(text, parsePipe(text).stages);
  return Branch.open(plan, { reactor, holder: "bench", instanceSeed });
}

interface Plan {
  readonly rounds: number;
  readonly operations: number;
}

async function measure(reactor: Reactor, contest: Contest, plan: Plan) {
  const branches: Branch[] = [];
  for (const text of [contest.base, contest.with]) {
    branches.push(await openBranch(reactor, text));
  }
  const operation = Operation[contest.operation];
  const [base, other] = branches.map(({ top }) => new Load(top.above, operation));
  assert(base !== undefined && other !== undefined, "there are two");
  for (const load of [base, other]) {
    await load.fill();
    await load.run(plan.operations);
  }
  const rounds: { readonly base: number; readonly other: number }[] = [];
  for (let round = 0; round < plan.rounds; round++) {
    const costs = new Map<Load, number>();
    for (const load of round % 2 === 0 ? [base, other] : [other, base]) {
      costs.set(load, await load.run(plan.operations));
    }
    rounds.push({ base: costs.get(base) ?? 0, other: costs.get(other) ?? 0 });
  }
  for (const branch of branches) await branch.close();
  return rowOf(contest, rounds);
}

function rowOf(
  { name, operation, figure, max }: Contest,
  rounds: readonly { readonly base: number; readonly other: number }[],
) {
  const isRatio = figure === "ratio";
  const figures = rounds.map(({ base, other }) => (isRatio ? other / base : other - base));
  const show = (value: number): string => (isRatio ? `${value.toFixed(2)}x` : value.toFixed(2));
  const middle = median(figures);
  return {
    stage: name,
    operation: `${operation} 4 KiB`,
    "without us": median(rounds.map(({ base }) => base)).toFixed(2),
    "with us": median(rounds.map(({ other }) => other)).toFixed(2),
    figure: isRatio ? show(middle) : `+${show(middle)} us`,
    "of rounds": `${show(Math.min(...figures))} to ${show(Math.max(...figures))}`,
    limit: isRatio ? show(max) : `+${show(max)} us`,
    holds: middle <= max ? "yes" : "no",
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "9" },
      operations: { type: "string", default: "60000" },
      only: { type: "string", default: "" },
      dir: { type: "string", default: tmpdir() },
    },
  });
  const plan = { rounds: Number(values.rounds), operations: Number(values.operations) };
  process.env[KEY_NAME] = "0123456789abcdef".repeat(4) + "fedcba9876543210".repeat(4);
  const folder = mkdtempSync(join(values.dir, "penstock-stages-"));
  const io = await openIo({ level: await chooseLevel("auto") });
  const reactor = new Reactor({ id: 0, io });
  try {
    const rows: Awaited<ReturnType<typeof measure>>[] = [];
    for (const contest of contests(folder)) {
      const title = `${contest.name} ${contest.operation}`;
      if (new RegExp(values.only).test(title)) rows.push(await measure(reactor, contest, plan));
    }
    process.stdout.write(`level ${io.level}, depth ${DEPTH}, ${plan.rounds} rounds of `);
    process.stdout.write(`${plan.operations} operations\n`);
    console.table(rows);
  } finally {
    await io.close();
    rmSync(folder, { recursive: true });
  }
}

await main();
