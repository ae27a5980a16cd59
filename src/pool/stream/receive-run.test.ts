// ReceiveRun over a volume whose writes end when the test says so: the cursor never passes what is
// not written and flushed.

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { Device } from "../../block/device.ts";
import { Operation, Support } from "../../block/operation.ts";
import type { Request } from "../../block/request.ts";
import { Status } from "../../block/status.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { uuidOfName } from "../../util/uuid.ts";
import { ReceiveRun } from "./receive-run.ts";
import { decodeState } from "./receive-state.ts";
import type { StreamPool } from "./stream-pool.ts";

const MIB = 2 ** 20;
const BLOCK = 4096;

/** Holds writes back; all else ends at once. */
class HeldDevice extends Device {
  readonly held: Request[] = [];
  flushes = 0;

  constructor(reactor: Reactor) {
    const native = Support.native;
    super(
      reactor,
      {
        ...{ name: "held", kind: "held", sizeBytes: 16 * MIB, blockSizeBytes: 512 },
        ...{ physicalBlockSizeBytes: BLOCK, optimalIoBytes: BLOCK, maxTransferBytes: MIB },
        ...{ readOnly: false, volatileCache: true, discardGranularityBytes: BLOCK },
        ...{ instanceId: uuidOfName("held"), lendsReads: false },
      },
      {
        ...{ read: native, write: native, flush: native, discard: native, writeZeroes: native },
        ...{ compare: Support.refuse, compareAndWrite: Support.refuse, blockStatus: native },
      },
    );
  }

  letGo(status: Status): void {
    for (const request of this.held.splice(0)) this.reactor.completions.push(request, status);
  }

  protected override start(request: Request): void {
    if (request.operation === Operation.write) {
      this.held.push(request);
      return;
    }
    if (request.operation === Operation.flush) this.flushes++;
    this.reactor.completions.push(request, Status.ok);
  }

  protected override async release(): Promise<void> {
    // Holds nothing.
  }
}

async function rig(reactor: Reactor) {
  const device = new HeldDevice(reactor);
  const cursors: number[] = [];
  const pool = {
    openVolume: async () => device,
    setProperties: async (_name: string, changes: ReadonlyMap<string, Uint8Array | null>) => {
      const kept = changes.get("receive");
      cursors.push(kept === null || kept === undefined ? -1 : (decodeState(kept)?.cursor ?? -2));
    },
  } as unknown as StreamPool;
  const uuid = uuidOfName("sent");
  const state = { uuid, baseUuid: "", cursor: 0, sizeBytes: 16 * MIB, isMade: true };
  const run = await ReceiveRun.open(pool, { volume: "v", snapshot: "v@s", state }, 100_000);
  return { device, cursors, run };
}

function piece(first: number) {
  return { first, count: 10, bytes: new Uint8Array(10 * BLOCK) };
}

test("the cursor waits for all that was put before it, and for a flush", () =>
  withReactor("portable", async ({ reactor }) => {
    const { device, cursors, run } = await rig(reactor);
    const puts = [run.put([piece(0)]), run.put([piece(10)])];
    while (device.held.length < 2) await sleep(1);
    device.letGo(Status.ok);
    await Promise.all(puts);
    // The first write of this one ends; by its weight the cursor is to move; the second one hangs.
    const third = run.put([piece(20)]);
    const fourth = run.put([piece(30)]);
    while (device.held.length < 2) await sleep(1);
    const hung = device.held.pop() as Request;
    device.letGo(Status.ok);
    await sleep(20);
    deepStrictEqual(
      cursors.filter((cursor) => cursor > 20),
      [],
    );
    device.held.push(hung);
    device.letGo(Status.ok);
    await Promise.all([third, fourth]);
    strictEqual(cursors.at(-1), 40);
    strictEqual(device.flushes >= cursors.length, true);
    await run.close();
  }));

test("after a write that failed the cursor stays, and nothing more is taken", () =>
  withReactor("portable", async ({ reactor }) => {
    const { device, cursors, run } = await rig(reactor);
    const puts = [run.put([piece(0)]), run.put([piece(10)])].map((each) =>
      each.catch(() => undefined),
    );
    while (device.held.length < 2) await sleep(1);
    device.letGo(Status.mediaError);
    await Promise.all(puts);
    await rejects(run.put([piece(20)]), { code: "media-error" });
    await rejects(run.finish(), { code: "media-error" });
    await run.close();
    deepStrictEqual(cursors, []);
  }));
