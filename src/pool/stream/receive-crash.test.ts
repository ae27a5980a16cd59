// A receiver that is killed, or loses power, anywhere in a stream: nothing is visible that is not
// whole, what lies before the cursor is what was sent, and the stream is gone on with to its end.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { forLongRun } from "../../testing/long-run.ts";
import { openForTest, PoolWorld } from "../../testing/pool-rig.ts";
import { StreamEnd } from "../../testing/stream-pair.ts";
import { Prng } from "../../util/prng.ts";
import { walkPool } from "../check/pool-walk.ts";
import type { Pool } from "../pool.ts";

const MIB = 2 ** 20;
const SEEDS = forLongRun(2, 50);
const BLOCK = 4096;
const SIZE_BYTES = 3 * MIB + 512;
const CURSOR_BYTES = 250_000;

async function contentOf(pool: Pool, name: string): Promise<Buffer> {
  const device = await openForTest(pool, name);
  const bytes = Buffer.from(await device.readAt(0, device.device.info.sizeBytes));
  await device.close();
  return bytes;
}

interface Sent {
  /** Of the base and of what follows it. */
  readonly contents: readonly [Buffer, Buffer];
  readonly world: PoolWorld;
}

/** A pool with two snapshots, in a world of its own. */
async function makeSender(seed: number): Promise<Sent> {
  const world = new PoolWorld({ seed, diskBytes: [48 * MIB] });
  const prng = new Prng(seed);
  const contents = await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "vol", sizeBytes: SIZE_BYTES });
    const device = await openForTest(pool, "vol");
    const random = (length: number) => {
      const bytes = new Uint8Array(length);
      prng.fill(bytes);
      return bytes;
    };
    // Many records.
    for (let at = 0; at < 2 * MIB; at += 64 * 1024) await device.writeAt(at, random(32 * 1024));
    await device.writeAt(SIZE_BYTES - 1024, random(1024));
    await pool.createSnapshot("vol", "one");
    for (let at = 0; at < MIB; at += 96 * 1024) await device.writeAt(at, random(32 * 1024));
    await device.discard(MIB + MIB / 2, MIB);
    await device.writeAt(0, random(512));
    await pool.createSnapshot("vol", "two");
    await device.close();
    const both: [Buffer, Buffer] = [
      await contentOf(pool, "vol@one"),
      await contentOf(pool, "vol@two"),
    ];
    await world.exported(pool);
    return both;
  });
  return { contents, world };
}

/** The stream, from where a receiver has come to. */
async function send({ world }: Sent, step: number, token: string | null): Promise<Buffer> {
  return await world.run(async () => {
    const pool = await world.open();
    const named = {
      snapshot: step === 0 ? "vol@one" : "vol@two",
      base: step === 0 ? null : "vol@one",
    };
    const end = new StreamEnd(pool);
    const stream = await end.send(token === null ? named : { token });
    await end.sessions.endOf(pool);
    await world.exported(pool);
    return stream;
  });
}

for (const isPower of [false, true]) {
  const what = isPower ? "lost power" : "kills";
  test(`${what} in the middle of receives cost nothing but time`, async () => {
    let wentOn = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const sender = await makeSender(seed);
      const prng = new Prng(`${seed} crashes`);
      const world = new PoolWorld({ seed: seed + 100, diskBytes: [48 * MIB] });
      let token: string | null = null;
      for (let [step, crashes] = [0, 0]; step < 2; ) {
        const stream = await send(sender, step, token);
        // Now and then in the middle of the last steps.
        const isLast = crashes >= 3;
        const crashAt = isLast ? Number.POSITIVE_INFINITY : prng.below(stream.length + 2000);
        const crash = (): void => (isPower ? world.powerLoss() : world.kill());
        const crashed = Promise.withResolvers<"crashed">();
        await world.run(async () => {
          const pool = await world.open();
          const end = new StreamEnd(pool, CURSOR_BYTES);
          const happens = (): Promise<never> => {
            crash();
            crashed.resolve("crashed");
            return new Promise(() => undefined);
          };
          const received = end.receive(stream, { volume: "copy" }, { at: crashAt, happens });
          const how = await Promise.race([received.then(() => "received"), crashed.promise]);
          if (how === "received") {
            if (prng.chance(0.5)) crash();
            else {
              await end.sessions.endOf(pool);
              await world.exported(pool);
            }
            step++;
            crashes = 0;
          } else {
            crashes++;
          }
        });
        token = await world.run(async () => {
          const pool = await world.open();
          const names = pool.snapshots().map(({ name }) => name);
          deepStrictEqual(names, ["copy@one", "copy@two"].slice(0, step));
          for (const [at, name] of names.entries()) {
            const content = await contentOf(pool, name);
            strictEqual(Buffer.compare(content, sender.contents[at] as Buffer), 0, name);
          }
          const end = new StreamEnd(pool);
          const isThere = pool.volume("copy") !== undefined;
          const state = isThere
            ? await end.sessions.receiveState({ pool: "p", name: "copy" })
            : null;
          const next = isThere && state !== null ? await end.token("copy") : null;
          if (state !== null && state.cursor > 0) {
            wentOn++;
            const sent = (sender.contents[step] as Buffer).subarray(0, state.cursor * BLOCK);
            const there = (await contentOf(pool, "copy")).subarray(0, sent.length);
            strictEqual(Buffer.compare(sent, there), 0, "before the cursor");
          }
          deepStrictEqual((await walkPool(pool.parts)).problems, []);
          await world.exported(pool);
          return next;
        });
      }
    }
    ok(wentOn >= SEEDS, `${wentOn} went on in the middle`);
  });
}
