/**
 * The tests of a remote device when things fail, the same for every protocol: connections cut at
 * any byte, a target killed, hung, cut off, power-cycled. `remoteFaultTests` registers them.
 */

import { ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { FaultLoad, FaultRig, type RemotePair } from "./fault-rig.ts";

const SEEDS = process.env.PENSTOCK_LONG === "1" ? 200 : 12;

/** Runs `fault` several times under load, then checks everything. */
async function underLoad(
  pair: RemotePair,
  seed: number,
  fault: (rig: FaultRig, load: FaultLoad) => Promise<void>,
): Promise<void> {
  const rig = new FaultRig(pair, seed);
  await rig.run(async () => {
    await rig.startTarget();
    const device = await rig.openDevice();
    const load = new FaultLoad(device, rig.world.prng.fork("load"));
    const running = load.run();
    for (let round = 0; round < 4; round++) {
      await rig.sleep(rig.world.prng.below(400) / 10);
      await fault(rig, load);
      await Promise.race([load.progress(), running]);
    }
    load.stop();
    await running;
    await load.verify();
    ok(load.done > 20, `${load.done} operations`);
    await load.device.close();
  });
}

/** Registers the tests, named after the pair's device. */
export function remoteFaultTests(pair: RemotePair): void {
  const { name } = pair;
  for (let seed = 0; seed < SEEDS; seed++) {
    test(`${name} loses nothing when connections are cut, seed ${seed}`, () =>
      underLoad(pair, seed, async (rig, load) => {
        rig.cutConnections(seed % 2 === 0 ? "one" : "all");
        strictEqual(load.losses, 0);
      }));

    test(`${name} loses nothing when the target is killed and started again, seed ${seed}`, () =>
      underLoad(pair, seed, async (rig, load) => {
        rig.killTarget();
        await rig.sleep(rig.world.prng.below(3000));
        await rig.startTarget();
        strictEqual(load.losses, 0, "the page cache outlives a process");
      }));

    test(`${name} reports what a power loss may have taken, seed ${seed}`, () =>
      underLoad(pair, seed, async (rig, load) => {
        load.notePowerLoss();
        rig.losePower();
        // Answers that were on their way are in after this.
        await rig.sleep(5 + rig.world.prng.below(100));
        load.notePowerLoss();
        await rig.startTarget();
      }));

    test(`${name} goes on when the target hangs for a while, seed ${seed}`, () =>
      underLoad(pair, seed, async (rig, load) => {
        rig.pauseTarget();
        // Longer than the time-out now and then: then it is connected to anew.
        await rig.sleep(rig.world.prng.below(55_000));
        rig.resumeTarget();
        strictEqual(load.losses, 0);
      }));

    test(`${name} goes on when the network was cut, seed ${seed}`, () =>
      underLoad(pair, seed, async (rig, load) => {
        rig.world.network.cut("initiator", "target", rig.world.prng.chance(0.5));
        await rig.sleep(rig.world.prng.below(50_000));
        rig.world.network.heal("initiator", "target");
        strictEqual(load.losses, 0);
      }));
  }
}
