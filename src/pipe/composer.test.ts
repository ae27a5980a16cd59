// Tests of ComposedPipe: the order of opening and closing, what a failure leaves behind, and that
// close waits and tells.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { AwaitedRequest } from "../block/awaited-request.ts";
import { Device, type DeviceInfo } from "../block/device.ts";
import { Operation, type OperationTable, Support } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { Status } from "../block/status.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import { PenstockError } from "../util/errors.ts";
import type { CallStage } from "./ast.ts";
import { ComposedPipe } from "./composer.ts";
import { type PipePlan, planPipe } from "./pipe-plan.ts";

const INFO: DeviceInfo = {
  name: "logged:///x",
  kind: "logged",
  sizeBytes: 1024 * 1024,
  blockSizeBytes: 512,
  physicalBlockSizeBytes: 512,
  optimalIoBytes: 4096,
  maxTransferBytes: 65_536,
  readOnly: false,
  volatileCache: true,
  discardGranularityBytes: 512,
  instanceId: "11111111-2222-4333-8444-555555555555",
  lendsReads: false,
};

const ALL: OperationTable = {
  read: Support.native,
  write: Support.native,
  flush: Support.native,
  discard: Support.native,
  writeZeroes: Support.native,
  compare: Support.native,
  compareAndWrite: Support.native,
  blockStatus: Support.native,
};

interface Behaviour {
  readonly flushStatus?: Status;
  readonly releaseFails?: boolean;
  readonly operations?: OperationTable;
}

/** Writes down what happens to it. */
class LoggedDevice extends Device {
  readonly #name: string;
  readonly #log: string[];
  readonly #behaviour: Behaviour;

  constructor(reactor: Reactor, name: string, log: string[], behaviour: Behaviour = {}) {
    super(reactor, { ...INFO, name }, behaviour.operations ?? ALL);
    this.#name = name;
    this.#log = log;
    this.#behaviour = behaviour;
  }

  protected override start(request: Request): void {
    if (request.operation === Operation.flush) this.#log.push(`flush ${this.#name}`);
    this.reactor.completions.push(request, this.#behaviour.flushStatus ?? Status.ok);
  }

  protected override async release(): Promise<void> {
    this.#log.push(`close ${this.#name}`);
    if (this.#behaviour.releaseFails === true) throw bad(`close ${this.#name}`);
  }
}

interface Rig {
  readonly log: string[];
  readonly pipe: ComposedPipe;
  openShare(): Promise<unknown>;
}

interface RigOptions {
  readonly top?: Behaviour;
  readonly filterFails?: boolean;
  readonly shareFails?: boolean;
  readonly shareCloseFails?: boolean;
}

/** A pipe of a source, one filter and a share, all logged. */
function rigOf(reactor: Reactor, options: RigOptions = {}): Rig {
  const log: string[] = [];
  const planned = planPipe("null:///x?size=1MiB | nbd://127.0.0.1:0/x");
  const stage: CallStage = {
    kind: "call",
    name: "logged",
    label: undefined,
    arguments: [],
    options: [],
    span: planned.shareStage.span,
    nameSpan: planned.shareStage.span,
  };
  const plan: PipePlan = {
    ...planned,
    branch: {
      sourceStage: stage,
      source: {
        open: async () => {
          log.push("open source");
          return new LoggedDevice(reactor, "source", log);
        },
      },
      filterStages: [stage],
      filters: [
        {
          fixedBecause: null,
          open: async () => {
            log.push("open filter");
            if (options.filterFails === true) throw bad("filter");
            return new LoggedDevice(reactor, "filter", log, options.top);
          },
        },
      ],
    },
  };
  const pipe = new ComposedPipe(plan, { reactor, holder: "test", instanceSeed: "seed" });
  const openShare = (): Promise<unknown> =>
    pipe.openShare(async () => {
      log.push("open share");
      if (options.shareFails === true) throw bad("share");
      return {
        close: async () => {
          log.push("close share");
          if (options.shareCloseFails === true) throw bad("close share");
        },
      };
    });
  return { log, pipe, openShare };
}

function bad(what: string): PenstockError {
  return new PenstockError({ code: "bad", message: `${what} is bad` });
}

const OPENED = ["open source", "open filter", "open share"];
const CLOSED = ["close share", "flush filter", "close filter", "close source"];

test("a pipe opens bottom up and closes top down, with a flush in between", () =>
  withReactor("fake", async ({ reactor }) => {
    const { log, pipe, openShare } = rigOf(reactor);
    strictEqual(pipe.state, "opening");
    await pipe.openDevices();
    await openShare();
    pipe.markReady();
    strictEqual(pipe.state, "ready");
    const closing = pipe.close();
    strictEqual(pipe.close(), closing);
    await closing;
    strictEqual(pipe.state, "closed");
    strictEqual(pipe.failure, null);
    deepStrictEqual(log, [...OPENED, ...CLOSED]);
  }));

test("a pipe undoes in reverse order what was open when a step fails", () =>
  withReactor("fake", async ({ reactor }) => {
    const filter = rigOf(reactor, { filterFails: true });
    await rejects(filter.pipe.openDevices(), { code: "bad", message: "filter is bad" });
    deepStrictEqual(filter.log, ["open source", "open filter", "close source"]);
    strictEqual(filter.pipe.state, "failed");
    strictEqual(filter.pipe.failure?.message, "filter is bad");
    await filter.pipe.close();
    await rejects(filter.openShare(), { code: "bad" });
    strictEqual(filter.log.length, 3);

    const share = rigOf(reactor, { shareFails: true });
    await share.pipe.openDevices();
    await rejects(share.openShare(), { code: "bad", message: "share is bad" });
    deepStrictEqual(share.log, [...OPENED, "close filter", "close source"]);
  }));

test("a pipe reports the first failure when it closes, and closes the rest all the same", () =>
  withReactor("fake", async ({ reactor }) => {
    const flush = rigOf(reactor, { top: { flushStatus: Status.mediaError, releaseFails: true } });
    await flush.pipe.openDevices();
    await flush.openShare();
    await rejects(flush.pipe.close(), {
      code: "flush-failed",
      message: /last flush of filter failed with media-error/,
    });
    deepStrictEqual(flush.log, [...OPENED, ...CLOSED]);
    strictEqual(flush.pipe.state, "failed");
    strictEqual(flush.pipe.failure?.code, "flush-failed");
    await rejects(flush.pipe.close(), { code: "flush-failed" });

    const share = rigOf(reactor, { shareCloseFails: true });
    await share.pipe.openDevices();
    await share.openShare();
    await rejects(share.pipe.close(), { message: "close share is bad" });
    deepStrictEqual(share.log, [...OPENED, ...CLOSED]);
  }));

test("a pipe waits for the step under way when it is closed meanwhile", () =>
  withReactor("fake", async ({ reactor }) => {
    const { log, pipe, openShare } = rigOf(reactor);
    const opening = pipe.openDevices();
    const closing = pipe.close();
    await opening;
    await closing;
    strictEqual(pipe.state, "closed");
    deepStrictEqual(log, ["open source", "open filter", ...CLOSED.slice(1)]);
    await rejects(openShare(), { code: "aborted" });
  }));

test("a pipe does not flush a device that refuses it, nor one of another reactor", () =>
  withReactor("fake", async ({ reactor }) => {
    const refusing = { ...ALL, flush: Support.refuse };
    const plain = rigOf(reactor, { top: { operations: refusing } });
    await plain.pipe.openDevices();
    await plain.pipe.close();
    deepStrictEqual(plain.log.slice(2), ["close filter", "close source"]);

    const remote = rigOf(reactor);
    await remote.pipe.openProxy(async () => new LoggedDevice(reactor, "proxy", remote.log));
    await remote.openShare();
    await remote.pipe.close();
    deepStrictEqual(remote.log, ["open share", "close share", "close proxy"]);
  }));

test("a pipe that closes holds nothing back: what hangs, waits or is delayed by order ends", () =>
  withReactor("fake", async ({ reactor }) => {
    const filters = "fault?all=hang | limit?iops=1&burst=10ms | delay?time=1h";
    const plan = planPipe(`malloc:///x?size=1MiB | ${filters} | nbd://127.0.0.1:0/x`);
    const pipe = new ComposedPipe(plan, { reactor, holder: "test", instanceSeed: "seed" });
    await pipe.openDevices();
    const statuses: Status[] = [];
    const run = async (): Promise<void> => {
      const ask = { operation: Operation.discard, offset: 0, length: 4096 };
      statuses.push(await new AwaitedRequest().run(pipe.device, ask));
    };
    const runs = Array.from({ length: 10 }, run);
    await pipe.openShare(async () => ({
      close: async () => {
        // As a share does, it answers what is under way, and what comes meanwhile.
        await Promise.all([...runs, run(), run().then(run)]);
      },
    }));
    pipe.markReady();
    const { promise, resolve } = Promise.withResolvers<void>();
    reactor.clock.startTimer(100_000, () => reactor.deliverLater(resolve));
    await promise;
    strictEqual(statuses.length, 0);
    await pipe.close();
    deepStrictEqual(statuses, new Array(13).fill(Status.ok));
    ok(reactor.clock.nowMs() < 101_000, "it does not take the time that they would");
    strictEqual(pipe.state, "closed");
  }));
