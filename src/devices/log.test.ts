// Tests of log: the conformance suite, the lines, and that they are bounded.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { deviceConformance } from "../block/conformance.ts";
import { Joint } from "../block/joint.ts";
import { Operation, OPERATION_NAMES, RequestFlag } from "../block/operation.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import { sleep, TimedLoad, TimedRequest } from "../testing/timed-load.ts";
import { Prng } from "../util/prng.ts";
import { DelayFilter } from "./delay.ts";
import { FaultFilter, NO_FAULTS } from "./fault.ts";
import { LogFilter, type LogSettings, type LogSink } from "./log.ts";
import { MallocDevice } from "./malloc.ts";

const SETTINGS: LogSettings = { level: "all", slowMs: 0, rate: 100 };
const DELAYS = { readMs: 5, writeMs: 20, flushMs: 1, statusMs: 0, jitterMs: 0 };

class Lines implements LogSink {
  readonly all: string[] = [];
  errors = 0;

  write(line: string, isError: boolean): void {
    this.all.push(line);
    if (isError) this.errors++;
  }

  take(): string[] {
    return this.all.splice(0);
  }
}

interface Rig {
  readonly reactor: Reactor;
  readonly lines: Lines;
  readonly log: LogFilter;
  readonly fault: FaultFilter;
}

async function openLog(
  reactor: Reactor,
  settings: Partial<LogSettings>,
  delays = { readMs: 0, writeMs: 0, flushMs: 0, statusMs: 0, jitterMs: 0 },
): Promise<Rig> {
  const instanceId = "11111111-2222-4333-8444-555555555555";
  const options = { name: "x", sizeBytes: 16 * 2 ** 20, instanceId };
  const malloc = await MallocDevice.open(reactor, options);
  const kinds = [...NO_FAULTS];
  kinds[Operation.compare] = "error";
  const faults = { kinds, status: 7, range: null, count: 1e9, probability: 1, seed: 1 } as const;
  const fault = new FaultFilter(new Joint(malloc), "fault", faults, "test");
  const delay = new DelayFilter(new Joint(fault), "delay", delays, new Prng(1));
  const lines = new Lines();
  const log = new LogFilter(new Joint(delay), "log", { ...SETTINGS, ...settings }, lines);
  return { reactor, lines, log, fault };
}

function withLog(settings: Partial<LogSettings>, body: (rig: Rig) => Promise<void>): Promise<void> {
  return withReactor("fake", async ({ reactor }) => {
    const rig = await openLog(reactor, settings, DELAYS);
    await body(rig);
    await rig.log.close();
  });
}

for (const level of ["off", "error", "all"] as const) {
  deviceConformance(`log of ${level}`, async ({ reactor }) => {
    const { log, fault } = await openLog(reactor, { level });
    fault.change({ kinds: NO_FAULTS, status: 7, range: null, count: 1, probability: 1, seed: 1 });
    return log;
  });
}

test("log writes a line for each request that ends, with what it was and how long it took", () =>
  withLog({}, async ({ reactor, lines, log }) => {
    const flags = RequestFlag.fua | RequestFlag.background;
    const ask = { operation: Operation.write, offset: 8192, length: 512, flags, stream: 65 };
    await new TimedRequest(reactor, ask).run(log);
    await new TimedRequest(reactor, { operation: Operation.flush }).run(log);
    await new TimedRequest(reactor, { operation: Operation.compare }).run(log);
    const [write = "", flush = "", compare = "", ...others] = lines.take();
    match(
      write,
      /^op=write offset=8192 length=512 flags=fua,background stream=65 status=ok us=200\d\d\.\d$/,
    );
    match(flush, /^op=flush status=ok us=10\d\d\.\d$/);
    match(
      compare,
      /^op=compare offset=0 length=4096 status=media-error error-offset=0 us=50\d\d\.\d$/,
    );
    deepStrictEqual(others, []);
    strictEqual(lines.errors, 1);
  }));

test("log names every operation", () =>
  withLog({}, async ({ reactor, lines, log }) => {
    for (const operation of Object.values(Operation)) {
      await new TimedRequest(reactor, { operation }).run(log);
      const name = OPERATION_NAMES[operation];
      match(lines.take().join(), new RegExp(`^op=${name} [^,]*status=[a-z-]+ [^,]*us=[0-9.]+$`));
    }
  }));

test("log keeps requests apart that are in flight together", () =>
  withLog({}, async ({ reactor, lines, log }) => {
    const start = async (atMs: number, operation: Operation): Promise<void> => {
      await sleep(reactor, atMs);
      await new TimedRequest(reactor, { operation, offset: atMs * 512 }).run(log);
    };
    await Promise.all([
      start(1, Operation.write),
      start(2, Operation.read),
      start(3, Operation.write),
      start(4, Operation.read),
    ]);
    const found = lines.take().map((line) => {
      const [, operation, offset, us] = /^op=(\w+) offset=(\d+) .* us=(\d+)/.exec(line) ?? [];
      return [operation, Number(offset) / 512, Math.round(Number(us) / 1000)];
    });
    deepStrictEqual(found, [
      ["read", 2, 5],
      ["read", 4, 5],
      ["write", 1, 20],
      ["write", 3, 20],
    ]);
  }));

test("log leaves out quick successes with `slow`, successes with `error`, all with `off`", () =>
  withLog({ slowMs: 10 }, async ({ reactor, lines, log }) => {
    const runAll = async (): Promise<string[]> => {
      for (const operation of [Operation.read, Operation.write, Operation.compare]) {
        await new TimedRequest(reactor, { operation }).run(log);
      }
      return lines.take().map((line) => /^op=(\w+)/.exec(line)?.[1] ?? line);
    };
    deepStrictEqual(await runAll(), ["write", "compare"]);
    log.change({ ...SETTINGS, level: "error" });
    deepStrictEqual(await runAll(), ["compare"]);
    log.change({ ...SETTINGS, level: "off" });
    deepStrictEqual(await runAll(), []);
    log.change(SETTINGS);
    deepStrictEqual(await runAll(), ["read", "write", "compare"]);
    strictEqual(log.describe().logged, 6);
  }));

test("log does not log what came while it was off, and does not lose its way by a change", () =>
  withLog({ level: "off" }, async ({ reactor, lines, log }) => {
    const before = new TimedRequest(reactor).run(log);
    log.change(SETTINGS);
    const after = new TimedRequest(reactor, { operation: Operation.write }).run(log);
    await Promise.all([before, after]);
    strictEqual(lines.take().length, 1);
    const last = new TimedRequest(reactor).run(log);
    log.change({ ...SETTINGS, level: "off" });
    await last;
    deepStrictEqual(lines.take(), []);
  }));

test("log writes no more lines a second than it may, and says how many it left out", () =>
  withLog({ rate: 10 }, async ({ reactor, lines, log }) => {
    const load = new TimedLoad(log, 32, {});
    await sleep(reactor, 10_000);
    await load.stop();
    await sleep(reactor, 2000);
    const written = lines.take();
    const requests = written.filter((line) => line.startsWith("op="));
    ok(requests.length >= 100 && requests.length <= 110, `${requests.length} lines in 10 s`);
    let leftOut = 0;
    for (const line of written.filter((each) => !each.startsWith("op="))) {
      match(line, /^\d+ requests left out: more than 10 lines a second$/);
      leftOut += Number.parseInt(line, 10);
    }
    strictEqual(requests.length + leftOut, load.ended);
    ok(written.length - requests.length <= 11, "it says so once a second");
    deepStrictEqual(log.describe(), { ...SETTINGS, rate: 10, logged: requests.length, leftOut });
  }));

test("log says on close what it left out before", () =>
  withReactor("fake", async ({ reactor }) => {
    const { log, lines } = await openLog(reactor, { rate: 1 });
    for (let round = 0; round < 5; round++) await new TimedRequest(reactor).run(log);
    await log.close();
    strictEqual(lines.all.length, 2);
    match(lines.all[1] ?? "", /^4 requests left out/);
  }));

test("log gives its lines to the sink outside of the turn", () =>
  withReactor("fake", async ({ reactor }) => {
    const { log, lines } = await openLog(reactor, {});
    const request = new TimedRequest(reactor);
    let linesInTurn = -1;
    await new Promise<void>((resolve) => {
      request.onEnd = () => {
        linesInTurn = lines.all.length;
        reactor.deliverLater(resolve);
      };
      log.submit(request);
    });
    strictEqual(linesInTurn, 0);
    strictEqual(lines.all.length, 1);
    await log.close();
  }));
