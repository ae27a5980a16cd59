// Filters put in and taken out at every position of a pipe, mirror legs too, while clients write:
// no error, nothing lost, overlapping writes in their order.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { parseEngineAddress } from "../../src/api/engine-address.ts";
import { askEngine, type EngineClient } from "../../src/api/engine-client.ts";
import { CALL_SOURCES, FILTERS } from "../../src/pipe/registry.ts";
import { forEachLevel, type Level } from "../../src/testing/levels.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { OverlappingWriter } from "../../src/testing/overlapping-writer.ts";
import { startEngine } from "../../src/testing/penstock-process.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { VerifiedWriter } from "../../src/testing/verified-writer.ts";
import { Prng } from "../../src/util/prng.ts";

const MIB = 2 ** 20;
/** The verified writer's part, then the overlapping writer's. */
const PART_BYTES = 4 * MIB;
const SIZE_BYTES = 2 * PART_BYTES;
/** Of each filter at each position. */
const ROUNDS = forLongRun(2, 200);
/** What is under way ends first: a flush takes what a busy disk needs. */
const DRAIN_MS_MAX = 30_000;
const TIMEOUT_MS = forLongRun(120_000, 1_800_000);

/** All of which leave data as it is. */
const FILTER_TEXTS: readonly string[] = [
  "limit#x?iops=900000",
  "delay#x?time=2ms&jitter=2ms",
  "log#x?level=all",
  "fault#x?read=error&write=torn&enabled=false",
].filter((text) => FILTERS.some(({ name }) => text.startsWith(`${name}#`)));

interface Layout {
  readonly name: string;
  readonly disks: readonly string[];
  text(paths: readonly string[]): string;
  /** Each stage that a filter can stand on; undefined: the top. */
  readonly positions: readonly (string | undefined)[];
}

const LAYOUTS: readonly Layout[] = [
  {
    name: "a file",
    disks: ["a"],
    text: ([a]) => `${a}?size=${SIZE_BYTES}B | limit#base?iops=900000`,
    positions: ["1", "base", undefined],
  },
  {
    name: "a mirror",
    disks: ["a", "b"],
    text: ([a, b]) =>
      `mirror(${a}?size=${SIZE_BYTES}B | delay#leg?time=0ms, ${b}?size=${SIZE_BYTES}B) ` +
      "| limit#base?iops=900000",
    positions: ["1.1.1", "leg", "1.2.1", "1", undefined],
  },
];

for (const layout of LAYOUTS) {
  const isHere = layout.name !== "a mirror" || CALL_SOURCES.some(({ name }) => name === "mirror");
  const options = { skip: isHere ? false : "no mirror yet", timeoutMs: TIMEOUT_MS } as const;
  forEachLevel(`filters come and go in ${layout.name} under load`, options, (t, level) =>
    comeAndGo(t, level, layout),
  );
}

async function comeAndGo(t: TestContext, level: Level, layout: Layout): Promise<void> {
  const dataDir = makeTempDir(t);
  const paths = layout.disks.map((disk) => join(dataDir, `${disk}.img`));
  const engine = await startEngine(t, dataDir, { level });
  const address = parseEngineAddress(engine.uri);
  const share = "nbd://127.0.0.1:0/vol";
  const before = `${layout.text(paths)} | ${share}`;
  const created = await askEngine(address, ({ pipes }) =>
    pipes.createPipe({ name: "vol", text: before }),
  );
  const canonical = created.pipe?.text ?? "";
  const load = await startLoad(t, created.pipe?.uri ?? "");
  try {
    await askEngine(address, (client) => replumb(client, layout, canonical));
  } finally {
    await load.stop();
  }
  const listed = await askEngine(address, ({ pipes }) => pipes.getPipe({ name: "vol" }));
  strictEqual(listed.tree?.pipe?.text, canonical);
  deepStrictEqual(await engine.stop(), { code: 0, signal: null }, engine.stderr);
  const logged = engine.stderr.trim().split("\n");
  deepStrictEqual(
    logged.map((line) => JSON.parse(line)).filter(({ level: each }) => each !== "info"),
    [],
  );
  const contents = paths.map((path) => readFileSync(path));
  for (const content of contents) load.check(content);
  ok(
    contents.every((content) => content.equals(contents[0] as Buffer)),
    "legs are byte-equal",
  );
}

/** Every filter at every position, round after round. */
async function replumb(
  { pipes }: EngineClient,
  { positions }: Layout,
  canonical: string,
): Promise<void> {
  const timeoutMs = DRAIN_MS_MAX;
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const above of positions) {
      for (const text of FILTER_TEXTS) {
        const where = above === undefined ? {} : { above };
        const inserted = await pipes.insertStage({ pipe: "vol", text, ...where, timeoutMs });
        ok(inserted.tree?.pipe?.text.includes(text), `${text} above ${above}`);
        const removed = await pipes.removeStage({ pipe: "vol", stage: "x", timeoutMs });
        strictEqual(removed.tree?.pipe?.text, canonical);
      }
    }
  }
}

interface Load {
  stop(): Promise<void>;
  /** Throws unless `content`, the whole disk's, is what was written. */
  check(content: Buffer): void;
}

async function startLoad(t: TestContext, uri: string): Promise<Load> {
  const seed = testSeed(t);
  const clients = await Promise.all([NbdRawClient.open(uri), NbdRawClient.open(uri)]);
  const [first, second] = clients;
  const verified = new VerifiedWriter({
    lengthBytes: PART_BYTES,
    prng: new Prng(seed),
    depth: 16,
  });
  const overlapping = new OverlappingWriter({
    offset: PART_BYTES,
    lengthBytes: PART_BYTES,
    prng: new Prng(seed + 1),
  });
  const running = Promise.all([verified.run(first), overlapping.run(second)]);
  // Whoever stops it awaits it.
  running.catch(() => undefined);
  return {
    stop: async () => {
      verified.stop();
      overlapping.stop();
      await running;
      t.diagnostic(`${verified.acknowledgedCount} writes, ${overlapping.burstCount} bursts`);
      ok(verified.acknowledgedCount > 0 && overlapping.burstCount > 0);
      for (const client of clients) await client.disconnect();
    },
    check: (content) => {
      verified.check(content.subarray(0, PART_BYTES));
      ok(content.subarray(PART_BYTES).equals(overlapping.content), "the overlapping writes");
    },
  };
}
