// Snapshots sent from pool to pool: bases, increments and clones, cut and gone on with, refused
// where the receiver has diverged; and no stream has a byte that its snapshot does not show.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import type { Reactor } from "../../reactor/reactor.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { mallocDisks, openForTest, poolEnvironment } from "../../testing/pool-rig.ts";
import { CUT, StreamEnd } from "../../testing/stream-pair.ts";
import { Prng } from "../../util/prng.ts";
import { walkPool } from "../check/pool-walk.ts";
import { Pool } from "../pool.ts";

const MIB = 2 ** 20;
const BLOCK = 4096;

async function makeEnd(reactor: Reactor, name: string, diskBytes = 96 * MIB): Promise<StreamEnd> {
  const environment = poolEnvironment(reactor, name);
  const devices = await mallocDisks(reactor, [diskBytes]);
  return new StreamEnd(await Pool.create(environment, devices, { name: "p" }));
}

async function close(...ends: readonly StreamEnd[]): Promise<void> {
  for (const { pool, sessions } of ends) {
    await sessions.endOf(pool);
    await pool.export();
  }
}

async function contentOf(pool: Pool, name: string): Promise<Buffer> {
  const device = await openForTest(pool, name);
  try {
    return Buffer.from(await device.readAt(0, device.device.info.sizeBytes));
  } finally {
    await device.close();
  }
}

async function write(pool: Pool, volume: string, offset: number, bytes: Uint8Array): Promise<void> {
  const device = await openForTest(pool, volume);
  await device.writeAt(offset, bytes);
  await device.close();
}

/** Writes and discards, not aligned to blocks. */
async function churn(pool: Pool, volume: string, prng: Prng): Promise<void> {
  const device = await openForTest(pool, volume);
  const { sizeBytes } = device.device.info;
  for (let round = 0; round < 12; round++) {
    const length = 512 * (1 + prng.below(prng.chance(0.2) ? 2000 : 30));
    const offset = 512 * prng.below(Math.max((sizeBytes - length) / 512, 1));
    const fits = Math.min(length, sizeBytes - offset);
    if (prng.chance(0.3)) {
      await device.discard(offset, fits);
    } else {
      const bytes = new Uint8Array(fits);
      if (prng.chance(0.5)) prng.fill(bytes);
      else bytes.fill(1 + prng.below(255));
      await device.writeAt(offset, bytes);
    }
  }
  await device.close();
}

for (const zstd of [false, true]) {
  test(`a base and 20 increments are byte-equal though cut again and again, zstd ${zstd}`, () =>
    withReactor("portable", async ({ reactor, seed }) => {
      const from = await makeEnd(reactor, `from ${seed}`);
      const to = await makeEnd(reactor, `to ${seed}`);
      const prng = new Prng(`${seed} ${zstd}`);
      let sizeBytes = 6 * MIB + 1536;
      await from.pool.createVolume({ name: "vol", sizeBytes });
      await from.pool.createVolume({ name: "other", sizeBytes });
      let cuts = 0;
      for (let step = 0; step <= 20; step++) {
        await churn(from.pool, "vol", prng);
        await churn(from.pool, "other", prng);
        if (step % 7 === 3) {
          sizeBytes += step % 2 === 0 ? 512 * 9 : -512 * 1001;
          await from.pool.resizeVolume("vol", sizeBytes);
        }
        await from.pool.createSnapshot("vol", `s${step}`);
        const base = step === 0 ? {} : { base: `vol@s${step - 1}` };
        let opening: Parameters<StreamEnd["send"]>[0] = { snapshot: `vol@s${step}`, ...base };
        for (let tries = step % 2; ; tries++) {
          const stream = await from.send(opening, zstd);
          const cut = tries === 0 ? { at: 200 + prng.below(stream.length - 200) } : undefined;
          const received = to.receive(stream, { volume: "copy" }, cut);
          if (cut === undefined) {
            strictEqual((await received).name, `copy@s${step}`);
            break;
          }
          await rejects(received, CUT);
          cuts++;
          strictEqual(to.pool.snapshots("copy").length, step, "nothing is visible before the end");
          await rejects(to.sessions.createSnapshot({ pool: "p", name: "copy@x", uuid: null }), {
            code: "volume-receiving",
          });
          const token = await to.token("copy");
          // The snapshot and its base are found by the token alone.
          opening = { token: token as string };
        }
        const name = `s${step}`;
        const sent = await contentOf(from.pool, `vol@${name}`);
        strictEqual(Buffer.compare(sent, await contentOf(to.pool, `copy@${name}`)), 0, name);
        strictEqual(await to.token("copy"), null);
      }
      ok(cuts >= 10, `${cuts}`);
      for (let step = 0; step <= 20; step += 4) {
        const sent = await contentOf(from.pool, `vol@s${step}`);
        strictEqual(Buffer.compare(sent, await contentOf(to.pool, `copy@s${step}`)), 0);
      }
      deepStrictEqual((await walkPool(to.pool.parts)).problems, []);
      await close(from, to);
    }));
}

test("what was received can be sent on, and the first sender's increments go on from it", () =>
  withReactor("portable", async ({ reactor, seed }) => {
    const [a, b, c] = [
      await makeEnd(reactor, `a ${seed}`),
      await makeEnd(reactor, `b ${seed}`),
      await makeEnd(reactor, `c ${seed}`),
    ];
    const prng = new Prng(seed);
    await a.pool.createVolume({ name: "vol", sizeBytes: 4 * MIB });
    await churn(a.pool, "vol", prng);
    await a.pool.createSnapshot("vol", "one");
    await b.receive(await a.send({ snapshot: "vol@one" }), { volume: "vol" });
    await c.receive(await b.send({ snapshot: "vol@one" }), { volume: "third", snapshot: "first" });
    await churn(a.pool, "vol", prng);
    await a.pool.createSnapshot("vol", "two");
    const increment = await a.send({ snapshot: "vol@two", base: "vol@one" });
    await c.receive(increment, { volume: "third" });
    const sent = await contentOf(a.pool, "vol@two");
    strictEqual(Buffer.compare(sent, await contentOf(c.pool, "third@two")), 0);
    // Twice is refused by a name of its own: a sender whose answer was lost knows.
    await rejects(c.receive(increment, { volume: "third" }), { code: "already-received" });
    await close(a, b, c);
  }));

test("a volume that has changed since the base is refused, or rolled back if that is asked", () =>
  withReactor("portable", async ({ reactor, seed }) => {
    const from = await makeEnd(reactor, `from ${seed}`);
    const to = await makeEnd(reactor, `to ${seed}`);
    const prng = new Prng(seed);
    await from.pool.createVolume({ name: "vol", sizeBytes: 4 * MIB });
    await churn(from.pool, "vol", prng);
    await from.pool.createSnapshot("vol", "one");
    const base = await from.send({ snapshot: "vol@one" });
    await to.receive(base, { volume: "vol" });
    await churn(from.pool, "vol", prng);
    await from.pool.createSnapshot("vol", "two");
    const increment = await from.send({ snapshot: "vol@two", base: "vol@one" });
    await write(to.pool, "vol", 0, new Uint8Array(512).fill(0xab));
    await rejects(to.receive(increment, { volume: "vol" }), { code: "receive-diverged" });
    await rejects(to.receive(base, { volume: "vol", snapshot: "again" }), {
      code: "already-received",
    });
    await to.pool.createVolume({ name: "plain", sizeBytes: 4 * MIB });
    await rejects(to.receive(base, { volume: "plain" }), { code: "volume-exists" });
    await rejects(to.receive(increment, { volume: "none", snapshot: "a b" }), {
      code: "name-invalid",
    });
    strictEqual(await to.token("vol"), null);
    await to.receive(increment, { volume: "vol", rollback: true });
    const sent = await contentOf(from.pool, "vol@two");
    strictEqual(Buffer.compare(sent, await contentOf(to.pool, "vol@two")), 0);
    // No base, no increment.
    await to.pool.deleteVolume("vol@one");
    await rejects(to.receive(increment, { volume: "new" }), { code: "base-not-found" });
    await close(from, to);
  }));

test("a receiving that is given up leaves what was there before", () =>
  withReactor("portable", async ({ reactor, seed }) => {
    const from = await makeEnd(reactor, `from ${seed}`);
    const to = await makeEnd(reactor, `to ${seed}`);
    const prng = new Prng(seed);
    await from.pool.createVolume({ name: "vol", sizeBytes: 4 * MIB });
    await churn(from.pool, "vol", prng);
    await from.pool.createSnapshot("vol", "one");
    const base = await from.send({ snapshot: "vol@one" });
    await rejects(to.receive(base, { volume: "vol" }, { at: base.length - 1 }), CUT);
    deepStrictEqual(to.pool.snapshots(), []);
    await to.sessions.abortReceive({ pool: "p", name: "vol" });
    strictEqual(to.pool.volume("vol"), undefined);
    await to.receive(base, { volume: "vol" });
    const before = await contentOf(to.pool, "vol@one");
    await churn(from.pool, "vol", prng);
    await from.pool.createSnapshot("vol", "two");
    const increment = await from.send({ snapshot: "vol@two", base: "vol@one" });
    await rejects(to.receive(increment, { volume: "vol" }, { at: increment.length - 50 }), CUT);
    await from.pool.createSnapshot("vol", "three");
    const another = await from.send({ snapshot: "vol@three", base: "vol@one" });
    await rejects(to.receive(another, { volume: "vol" }), { code: "receive-other" });
    await to.sessions.abortReceive({ pool: "p", name: "vol" });
    strictEqual(Buffer.compare(before, await contentOf(to.pool, "vol")), 0);
    await rejects(to.sessions.abortReceive({ pool: "p", name: "vol" }), { code: "not-receiving" });
    await to.receive(increment, { volume: "vol" });
    await close(from, to);
  }));

test("an engine that ended just after the snapshot was taken has received it", () =>
  withReactor("portable", async ({ reactor, seed }) => {
    const from = await makeEnd(reactor, `from ${seed}`);
    const to = await makeEnd(reactor, `to ${seed}`);
    const prng = new Prng(seed);
    await from.pool.createVolume({ name: "vol", sizeBytes: 2 * MIB });
    const streams: Buffer[] = [];
    for (const [at, name] of ["one", "two", "three"].entries()) {
      await churn(from.pool, "vol", prng);
      await from.pool.createSnapshot("vol", name);
      const base = at === 0 ? {} : { base: ["vol@one", "vol@two"][at - 1] as string };
      streams.push(await from.send({ snapshot: `vol@${name}`, ...base }));
    }
    const [one, two, three] = streams as [Buffer, Buffer, Buffer];
    const receive = (stream: Buffer) => to.receive(stream, { volume: "vol" });
    // The property is as it is between the two records.
    const notTold = async (step: () => Promise<unknown>): Promise<void> => {
      const { setProperties } = to.pool;
      let told = 0;
      to.pool.setProperties = async (name, changes) => {
        if (changes.get("receive") === null && told++ === 0) throw new Error("killed");
        await setProperties.call(to.pool, name, changes);
      };
      await rejects(step(), /killed/);
      to.pool.setProperties = setProperties;
    };
    await notTold(() => receive(one));
    ok((await to.token("vol")) !== null);
    strictEqual((await receive(one)).name, "vol@one");
    strictEqual(await to.token("vol"), null);
    await notTold(() => receive(two));
    await rejects(to.sessions.abortReceive({ pool: "p", name: "vol" }), { code: "not-receiving" });
    ok(to.pool.volume("vol") !== undefined);
    await rejects(receive(two), { code: "already-received" });
    await rejects(to.receive(two, { volume: "vol", snapshot: "again", rollback: true }), {
      code: "already-received",
    });
    strictEqual((await receive(three)).name, "vol@three");
    const sent = await contentOf(from.pool, "vol@three");
    strictEqual(Buffer.compare(sent, await contentOf(to.pool, "vol@three")), 0);
    await close(from, to);
  }));

test("a volume has the stream's size again when the engine ended before it was resized", () =>
  withReactor("portable", async ({ reactor, seed }) => {
    const from = await makeEnd(reactor, `from ${seed}`);
    const to = await makeEnd(reactor, `to ${seed}`);
    const prng = new Prng(seed);
    await from.pool.createVolume({ name: "vol", sizeBytes: 2 * MIB });
    await churn(from.pool, "vol", prng);
    await from.pool.createSnapshot("vol", "one");
    await to.receive(await from.send({ snapshot: "vol@one" }), { volume: "vol" });
    await from.pool.resizeVolume("vol", 3 * MIB + 512);
    await churn(from.pool, "vol", prng);
    await from.pool.createSnapshot("vol", "two");
    const stream = await from.send({ snapshot: "vol@two", base: "vol@one" });
    const { resizeVolume } = to.pool;
    to.pool.resizeVolume = async () => {
      throw new Error("killed");
    };
    await rejects(to.receive(stream, { volume: "vol" }), /killed/);
    to.pool.resizeVolume = resizeVolume;
    await to.receive(stream, { volume: "vol" });
    const sent = await contentOf(from.pool, "vol@two");
    strictEqual(Buffer.compare(sent, await contentOf(to.pool, "vol@two")), 0);
    await close(from, to);
  }));

test("damage and forgery anywhere leave no snapshot behind", () =>
  withReactor("portable", async ({ reactor, seed }) => {
    const from = await makeEnd(reactor, `from ${seed}`);
    const to = await makeEnd(reactor, `to ${seed}`);
    const prng = new Prng(seed);
    await from.pool.createVolume({ name: "vol", sizeBytes: MIB });
    await churn(from.pool, "vol", prng);
    await from.pool.createSnapshot("vol", "one");
    const good = await from.send({ snapshot: "vol@one" });
    for (let round = 0; round < 25; round++) {
      const bad = Buffer.from(good);
      const at = prng.below(bad.length);
      bad[at] = (bad[at] as number) ^ (1 << prng.below(8));
      const cut = prng.chance(0.3) ? bad.subarray(0, at) : bad;
      await rejects(to.receive(cut, { volume: "vol" }), (error: { code: string }) =>
        ["stream-damaged", "stream-cut", "stream-newer"].includes(error.code),
      );
      deepStrictEqual(to.pool.snapshots(), []);
    }
    await to.receive(good, { volume: "vol" });
    const sent = await contentOf(from.pool, "vol@one");
    strictEqual(Buffer.compare(sent, await contentOf(to.pool, "vol@one")), 0);
    await close(from, to);
  }));

test("streams of clones and increments have no byte of blocks that they do not show", () =>
  withReactor("portable", async ({ reactor, seed }) => {
    const from = await makeEnd(reactor, `from ${seed}`);
    const to = await makeEnd(reactor, `to ${seed}`);
    const { pool } = from;
    const block = (text: string) => Buffer.alloc(BLOCK, text);
    await pool.createVolume({ name: "vol", sizeBytes: 4 * MIB });
    const shared = "what everybody sees";
    await write(pool, "vol", 0, block(shared));
    for (let at = 1; at < 20; at++) await write(pool, "vol", at * BLOCK, block("SECRET hidden"));
    await write(pool, "vol", 30 * BLOCK, block("SECRET before base"));
    await pool.createSnapshot("vol", "s");
    await write(pool, "vol", 0, block("SECRET later"));
    await pool.cloneSnapshot("vol@s", { name: "masked" });
    const device = await openForTest(pool, "masked");
    // Masked by writes, whole and in pieces, by zeroes and by discards.
    for (let at = 1; at < 8; at++) await device.writeAt(at * BLOCK, block("own"));
    for (let at = 0; at < 8; at++) {
      await device.writeAt(8 * BLOCK + at * 512, new Uint8Array(512).fill(1));
    }
    await device.discard(9 * BLOCK, 6 * BLOCK);
    await device.writeZeroes(15 * BLOCK, 5 * BLOCK);
    await device.discard(30 * BLOCK, BLOCK);
    await device.close();
    await pool.createSnapshot("masked", "m");
    const whole = await from.send({ snapshot: "masked@m" });
    ok(whole.includes(shared) && whole.includes("own"));
    ok(!whole.includes("SECRET"), "all of the clone");
    const increment = await from.send({ snapshot: "masked@m", base: "vol@s" });
    ok(!increment.includes("SECRET") && !increment.includes(shared), "what it differs in");
    // A clone goes on from its base as a clone.
    await to.receive(await from.send({ snapshot: "vol@s" }), { volume: "vol" });
    await to.receive(increment, { volume: "masked" });
    const sent = await contentOf(pool, "masked@m");
    strictEqual(Buffer.compare(sent, await contentOf(to.pool, "masked@m")), 0);
    strictEqual(to.pool.volume("vol")?.usedBytes, pool.volume("vol")?.usedBytes);
    await close(from, to);
  }));

test("a pool ends in the middle of sends and receives, and what has come is kept", () =>
  withReactor("portable", async ({ reactor, seed }) => {
    const from = await makeEnd(reactor, `from ${seed}`);
    const prng = new Prng(seed);
    await from.pool.createVolume({ name: "vol", sizeBytes: 16 * MIB });
    const bytes = new Uint8Array(16 * MIB);
    prng.fill(bytes);
    await write(from.pool, "vol", 0, bytes);
    await from.pool.createSnapshot("vol", "one");
    const { session } = await from.sessions.openSend({
      pool: "p",
      opening: { snapshot: "vol@one", base: null, token: null },
    });
    await rejects(from.pool.export(), { code: "volume-in-use" });
    strictEqual((await from.sessions.nextSend({ session })).length > 0, true);
    const asked = from.sessions.nextSend({ session }).then(
      () => "answered",
      (error: { code: string }) => error.code,
    );
    await from.sessions.endOf(from.pool);
    ok(["answered", "aborted", "not-ready"].includes(await asked), await asked);
    await rejects(from.sessions.nextSend({ session }), { code: "aborted" });
    await from.pool.export();
  }));
