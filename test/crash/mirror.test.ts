/**
 * A mirror of three NBD children in processes of their own, under verified writes, overlapping
 * writes from two clients and reads: one child is killed, or stopped and let go again much later.
 * No client hears of it, the child is shown as faulted with the reason, the survivors are equal.
 *
 * safety rules 1, 6, 7, 10
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Command, CommandFlag } from "../../src/proto/nbd/constants.ts";
import { forEachLevel, type Level } from "../../src/testing/levels.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { type PenstockProcess, startPenstock } from "../../src/testing/penstock-process.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { VerifiedWriter } from "../../src/testing/verified-writer.ts";
import { Prng } from "../../src/util/prng.ts";

const SIZE_BYTES = 16 * 2 ** 20;
const CHILD_COUNT = 3;
const VICTIM = 1;
/** Those that are well flush within it, on a busy disk too. */
const CHILD_TIMEOUT_MS = 5000;
/** The last part of the disk is for writes that overlap on purpose. */
const OVERLAP_BYTES = 256 * 1024;
const VERIFIED_BYTES = SIZE_BYTES - 2 ** 20;
const DEPTH = 8;
const SECTOR_BYTES = 512;
const PAGE_BYTES = 4096;
/** Acknowledged writes before the blow, after it, and after the victim is back. */
const WRITES_PER_PHASE = forLongRun(400, 10_000);
const FIO_MIB = forLongRun(8, 256);

interface Setting {
  readonly mirror: PenstockProcess;
  readonly children: readonly PenstockProcess[];
  readonly paths: readonly string[];
}

async function startMirror(t: TestContext, level: Level): Promise<Setting> {
  const folder = makeTempDir(t);
  const paths = Array.from({ length: CHILD_COUNT }, (_, index) => join(folder, `leg${index}.img`));
  const children = await Promise.all(
    paths.map((path, index) =>
      startPenstock(t, `${path}?size=${SIZE_BYTES}B | nbd://127.0.0.1:0/leg${index}`, {
        args: level.io === "portable" ? ["--io", "portable"] : [],
      }),
    ),
  );
  const legs = children.map(({ uri }) => uri).join(", ");
  const stage = `mirror(${legs})?timeout=${CHILD_TIMEOUT_MS}ms&read=least-loaded`;
  const mirror = await startPenstock(t, `${stage} | nbd://127.0.0.1:0/vol`, { level });
  return { mirror, children, paths };
}

/** Two clients with writes that are checked, writes that overlap, reads, trims and flushes. */
class Load {
  readonly writers: readonly VerifiedWriter[];
  readonly #clients: readonly NbdRawClient[];
  readonly #random: Prng;
  readonly #running: Promise<unknown>;
  #stopped = false;

  static async start(uri: string, random: Prng): Promise<Load> {
    return new Load([await NbdRawClient.open(uri), await NbdRawClient.open(uri)], random);
  }

  private constructor(clients: readonly NbdRawClient[], random: Prng) {
    const half = VERIFIED_BYTES / clients.length;
    this.#clients = clients;
    this.#random = random;
    this.writers = clients.map((_client, index) => {
      const prng = random.fork(`writer ${index}`);
      const offset = index * half;
      return new VerifiedWriter({ offset, lengthBytes: half, prng, depth: DEPTH });
    });
    this.#running = Promise.all(
      clients.flatMap((client, index) => [
        this.writers[index]?.run(client),
        ...Array.from({ length: DEPTH / 2 }, () => this.#lane(client)),
      ]),
    );
    // It is awaited by `stop`; an error before that is not unhandled.
    this.#running.catch(() => undefined);
  }

  get acknowledgedCount(): number {
    return this.writers.reduce((sum, { acknowledgedCount }) => sum + acknowledgedCount, 0);
  }

  /** Waits for that many further writes; any client error ends it. */
  async progress(count: number): Promise<void> {
    const wanted = this.acknowledgedCount + count;
    const failure = this.#running.then(() => assert.fail("the load has ended"));
    while (this.acknowledgedCount < wanted) await Promise.race([sleep(5), failure]);
  }

  /** @throws the first error that a client got */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const writer of this.writers) writer.stop();
    await this.#running;
    for (const client of this.#clients) assert.equal(client.failure, undefined);
  }

  async #lane(client: NbdRawClient): Promise<void> {
    const sectors = OVERLAP_BYTES / SECTOR_BYTES;
    while (!this.#stopped) {
      const first = this.#random.below(sectors);
      const length = SECTOR_BYTES * (1 + this.#random.below(Math.min(sectors - first, 32)));
      const offset = SIZE_BYTES - OVERLAP_BYTES + first * SECTOR_BYTES;
      const choice = this.#random.below(16);
      if (choice < 8) {
        const flags = choice === 0 ? CommandFlag.fua : 0;
        await client.write(offset, Buffer.alloc(length, 1 + this.#random.below(255)), flags);
      } else if (choice < 12) {
        await client.read(this.#random.below(SIZE_BYTES - length), length);
      } else if (choice < 15) {
        const command = choice === 12 ? Command.trim : Command.writeZeroes;
        const { error } = await client.command({ command, offset, length });
        assert.equal(error, 0);
      } else {
        await client.flush();
      }
    }
  }
}

for (const { signal, kinds } of [
  { signal: "SIGKILL", kinds: /path-lost|not-ready/ },
  { signal: "SIGSTOP", kinds: new RegExp(`no answer within ${CHILD_TIMEOUT_MS} ms|timeout`) },
] as const) {
  forEachLevel(`${signal} of a mirror's child`, {}, async (t, level) => {
    const random = new Prng(testSeed(t));
    const { mirror, children, paths } = await startMirror(t, level);
    await waitFor(() => /mirror-without-metadata.*no fencing/.test(mirror.stderr));
    const load = await Load.start(mirror.uri, random);
    await load.progress(WRITES_PER_PHASE);
    const victim = children[VICTIM];
    assert.ok(victim !== undefined);
    victim.signal(signal);
    await load.progress(WRITES_PER_PHASE);
    await waitFor(() => mirror.stderr.includes("child-faulted"));
    const line = mirror.stderr.split("\n").find((each) => each.includes("child-faulted")) ?? "";
    assert.match(line, new RegExp(`${victim.uri}.* faulted: .*(${kinds.source})`));
    if (signal === "SIGSTOP") {
      victim.signal("SIGCONT");
      await load.progress(WRITES_PER_PHASE);
    }
    await load.stop();
    assert.deepEqual(await mirror.stop(), { code: 0, signal: null }, mirror.stderr);
    assert.equal(mirror.stderr.split("child-faulted").length, 2, mirror.stderr);
    const survivors = paths
      .filter((_path, index) => index !== VICTIM)
      .map((path) => readFileSync(path));
    const [first, second] = survivors;
    assert.ok(first !== undefined && second !== undefined);
    assert.equal(firstDifference(first, second), -1);
    const half = VERIFIED_BYTES / 2;
    for (const [index, writer] of load.writers.entries()) {
      writer.check(first.subarray(index * half, (index + 1) * half));
    }
    t.diagnostic(`${load.acknowledgedCount} writes acknowledged; ${line}`);
  });
}

test("fio's verified mix on a mirror loses a child and nobody notices", {
  skip: missingTools("fio"),
  timeout: forLongRun(120, 900) * 1000,
}, async (t) => {
  const { mirror, children, paths } = await startMirror(t, {
    name: "default",
    args: [],
    io: "uring",
  });
  const jobMib = VERIFIED_BYTES / 2 ** 20;
  const fio = runCommand(
    "fio",
    [
      "--name=mirror",
      "--ioengine=nbd",
      `--uri=${mirror.uri}`,
      "--iodepth=16",
      `--size=${jobMib}m`,
      `--io_size=${FIO_MIB}m`,
      "--rw=randrw",
      "--bsrange=4k-64k",
      "--fsync=32",
      "--randseed=11",
      // Slow enough that the blow comes while it writes.
      `--rate=${FIO_MIB / 2}m,${FIO_MIB / 2}m`,
      "--verify=crc32c",
      "--verify_fatal=1",
      "--do_verify=1",
      "--verify_async=0",
    ],
    { cwd: makeTempDir(t), timeoutMs: forLongRun(90, 800) * 1000 },
  );
  await sleep(500);
  children[VICTIM]?.signal("SIGKILL");
  await fio;
  assert.deepEqual(await mirror.stop(), { code: 0, signal: null }, mirror.stderr);
  assert.match(mirror.stderr, /child-faulted/);
  const [first, , third] = paths.map((path) => readFileSync(path));
  assert.ok(first !== undefined && third !== undefined);
  assert.equal(firstDifference(first, third), -1);
});

async function waitFor(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5);
}

/** Offset of the first page that differs, or -1. */
function firstDifference(first: Buffer, second: Buffer): number {
  assert.equal(first.length, second.length);
  for (let at = 0; at < first.length; at += PAGE_BYTES) {
    if (first.compare(second, at, at + PAGE_BYTES, at, at + PAGE_BYTES) !== 0) return at;
  }
  return -1;
}
