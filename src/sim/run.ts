/**
 * runSchedule: one run, a pure function of its schedule: builds the scenario's world, takes the
 * steps, heals everything, waits for quiet, reads all back and judges.
 */

import { SimClient, type ClientOptions } from "./client.ts";
import { History, type HistoryOptions, type Violation } from "./history.ts";
import { isIoStep, type EventStep, type FaultStep, type Schedule } from "./schedule.ts";
import { TraceHash } from "./trace-hash.ts";
import { SimWorld } from "./world.ts";
import type { FakeDiskOptions } from "../reactor/fake/fake-disk.ts";

/** Bound of virtual time for each part of the end: all is healed, so it must become quiet. */
const QUIET_MS_MAX = 300_000;
/** Longest operation of the last reads. */
const READ_BACK_SECTORS = 64;
/** Rounds of reading back what could not be read. */
const READ_BACK_ROUNDS_MAX = 20;
const STACK_LINES = 8;

/** A world to try seeds on. */
export interface Scenario {
  readonly name: string;
  /** One sentence for listings. */
  readonly about: string;
  /** All that is random about a run but its timings. */
  draw(seed: number): Schedule;
  /** Builds the world at virtual time 0; processes are started, not yet up. */
  start(run: Run): Stage;
}

/** One built world. */
export interface Stage {
  /** A step that only this scenario knows. @returns false: it makes no sense now */
  event?(step: EventStep): boolean;
  /** All is healed: has what is broken for good opened again. Called until it is ready. */
  mend?(): void;
  /** Everything is up, joined and in sync. */
  isReady(): boolean;
  /**
   * All was read back. A last examination: comparing legs, a last loss of power before which
   * everything was flushed (`run.readBack` again), ...
   */
  examine?(): Promise<void>;
}

export interface RunOptions {
  /** Gets every line of the trace. */
  readonly onTrace?: (line: string) => void;
}

export interface RunReport {
  readonly violations: readonly Violation[];
  /** Client operations that were begun, and answered. */
  readonly operations: number;
  readonly answered: number;
  readonly faults: Readonly<Record<string, number>>;
  /** Of all lines of the trace and all events of the world. */
  readonly traceHash: string;
  readonly virtualMs: number;
  readonly events: number;
  /** Longest time from the healing of all until everything was ready and quiet. */
  readonly recoveryMs: number;
  readonly slowestOperationMs: number;
  /** Sectors too entangled to be judged. */
  readonly undecided: number;
}

/** What a scenario builds with. */
export class Run {
  readonly schedule: Schedule;
  readonly world: SimWorld;
  readonly clients: SimClient[] = [];
  /** Operations of a stage that are no client's. */
  readonly others = { begun: 0, answered: 0, slowestMs: 0 };
  readonly violations: Violation[] = [];
  readonly #histories: History[] = [];
  readonly #hash = new TraceHash();

  constructor(schedule: Schedule, options: RunOptions, disk: FakeDiskOptions) {
    this.schedule = schedule;
    const { onTrace } = options;
    this.world = new SimWorld({
      seed: schedule.seed,
      disk,
      trace: (line) => {
        this.#hash.add(line);
        onTrace?.(line);
      },
    });
  }

  get histories(): readonly History[] {
    return this.#histories;
  }

  /** What clients do to one volume. */
  history(options: HistoryOptions): History {
    const history = new History(options);
    this.#histories.push(history);
    return history;
  }

  /** A client; steps address clients by the order of their making. */
  client(options: Omit<ClientOptions, "nowMs" | "trace" | "fail">): SimClient {
    const client = new SimClient({
      ...options,
      nowMs: () => this.world.nowMs,
      trace: (line) => this.world.trace(line),
      fail: (kind, message) => this.fail(kind, message),
    });
    this.clients.push(client);
    return client;
  }

  /** A rule was broken. */
  fail(kind: string, message: string, lines: readonly string[] = []): void {
    this.world.trace(`VIOLATION ${kind}: ${message}`);
    this.violations.push({ kind, message, lines });
  }

  /** Waits until no client has anything under way. @returns false, and fails, when stuck */
  async quiet(): Promise<boolean> {
    const isQuiet = () => this.clients.every((client) => client.inFlight === 0);
    if (await this.world.runUntil(isQuiet, QUIET_MS_MAX)) return true;
    const stuck = this.clients.filter((client) => client.inFlight > 0);
    const names = stuck.map((client) => `${client.inFlight} of ${client.name}`).join(", ");
    this.fail("stuck", `operations never ended though all was healed: ${names}`);
    return false;
  }

  /** Waits until the stage is ready. @returns false, and fails, when it never is */
  async ready(stage: Stage): Promise<boolean> {
    const isReady = () => {
      stage.mend?.();
      return stage.isReady();
    };
    if (await this.world.runUntil(isReady, QUIET_MS_MAX)) return true;
    this.fail("stuck", "the world did not become ready though all was healed");
    return false;
  }

  /** Reads all of the volume through `client`; what fails is read again, and must succeed. */
  async readBack(client: SimClient, stage: Stage): Promise<boolean> {
    const { sectorCount } = client.history.options;
    let firsts: number[] = [];
    for (let first = 0; first < sectorCount; first += READ_BACK_SECTORS) firsts.push(first);
    for (let round = 0; round < READ_BACK_ROUNDS_MAX && firsts.length > 0; round++) {
      if (!(await this.ready(stage))) return false;
      // It may be a user of another volume by now.
      const { history } = client;
      const from = history.ops.length;
      for (const first of firsts) {
        const count = Math.min(READ_BACK_SECTORS, sectorCount - first);
        client.submit({ kind: "read", first, count });
      }
      if (!(await this.quiet())) return false;
      const done = new Set<number>();
      for (const op of history.ops.slice(from)) {
        if (op.client === client.name && op.outcome === "ok") done.add(op.first);
      }
      firsts = firsts.filter((first) => !done.has(first));
    }
    if (firsts.length === 0) return true;
    this.fail(
      "unreadable",
      `sectors from ${firsts.join(", ")} cannot be read though all was healed`,
    );
    return false;
  }

  judge(): void {
    for (const history of this.#histories) this.violations.push(...history.judge());
  }

  report(recoveryMs: number): RunReport {
    const { world } = this;
    const doers = [...this.clients, this.others];
    const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
    this.#hash.add(`${world.fake.eventCount} events, ${world.fake.traceHash}`);
    return {
      violations: this.violations,
      operations: sum(doers.map(({ begun }) => begun)),
      answered: sum(doers.map(({ answered }) => answered)),
      faults: Object.fromEntries([...world.faultCounts].sort()),
      traceHash: this.#hash.text,
      virtualMs: world.nowMs,
      events: world.fake.eventCount,
      recoveryMs,
      slowestOperationMs: Math.max(...doers.map(({ slowestMs }) => slowestMs)),
      undecided: sum(this.#histories.map(({ undecided }) => undecided)),
    };
  }
}

export async function runSchedule(
  scenario: Scenario,
  schedule: Schedule,
  options: RunOptions = {},
): Promise<RunReport> {
  const lyingFlush = schedule.settings.lyingFlush === 1;
  const run = new Run(schedule, options, { lyingFlush });
  let recoveryMs = 0;
  // A promise of the product that nobody waits for must not fail either.
  const onRejection = (reason: unknown) => run.fail("crash", `unhandled: ${String(reason)}`);
  process.on("unhandledRejection", onRejection);
  try {
    recoveryMs = await play(run, scenario.start(run));
  } catch (thrown) {
    const stack = thrown instanceof Error ? (thrown.stack ?? "").split("\n") : [];
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    run.fail("crash", message, stack.slice(1, STACK_LINES));
  }
  process.off("unhandledRejection", onRejection);
  run.judge();
  return run.report(recoveryMs);
}

/** @returns how long it took from the healing to quiet, virtual milliseconds */
async function play(run: Run, stage: Stage): Promise<number> {
  const { world, schedule, clients } = run;
  if (!(await run.ready(stage))) return 0;
  let timeMs = world.nowMs;
  for (const step of schedule.steps) {
    timeMs += step.at;
    if (timeMs > world.nowMs) await world.runTo(timeMs);
    if (isIoStep(step)) clients[step.client % clients.length]?.submit(step);
    else if (step.kind !== "event") world.apply(step satisfies FaultStep);
    else if (stage.event?.(step) === true) {
      world.faultCounts.set(step.name, (world.faultCounts.get(step.name) ?? 0) + 1);
    }
  }
  world.trace("-- all is healed --");
  const healedMs = world.nowMs;
  world.heal();
  if (!(await run.ready(stage)) || !(await run.quiet())) return 0;
  const recoveryMs = world.nowMs - healedMs;
  for (const client of new Map(clients.map((each) => [each.history, each])).values()) {
    if (!(await run.readBack(client, stage))) return recoveryMs;
  }
  await stage.examine?.();
  return recoveryMs;
}
