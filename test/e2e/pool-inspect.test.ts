// `pool inspect`: looks into the disks of a pool that was killed, checks it, copies volumes out of
// it, and changes nothing.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, statSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withReactor } from "../../src/reactor/test-reactor.ts";
import { GOLDEN_POOLS, readGolden } from "../../src/testing/golden-pool.ts";
import { PENSTOCK } from "../../src/testing/penstock-process.ts";
import { makePoolImages, type PoolImages } from "../../src/testing/pool-images.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const MIB = 2 ** 20;
const BLOCK_BYTES = 4096;

function writeDisks({ disks, sizesBytes }: PoolImages, folder: string): string[] {
  return disks.map((image, index) => {
    const path = join(folder, `disk${index}.img`);
    const file = openSync(path, "w");
    for (const [block, bytes] of image) {
      writeSync(file, bytes, 0, bytes.length, block * BLOCK_BYTES);
    }
    closeSync(file);
    truncateSync(path, sizesBytes[index]);
    return path;
  });
}

/** In a world of its own, where nothing real is waited for. */
function imagesOf(sizesBytes: readonly number[], end: "kill" | "export"): Promise<PoolImages> {
  return withReactor("fake", ({ reactor }) => makePoolImages(reactor, sizesBytes, end));
}

const hashOfBytes = (bytes: Uint8Array = new Uint8Array()): string =>
  createHash("sha256").update(bytes).digest("hex");
const hashOf = (path: string): string => hashOfBytes(readFileSync(path));

test("pool inspect lists, checks and exports a killed pool, and changes nothing", async (t) => {
  const folder = makeTempDir(t);
  const images = await imagesOf([32 * MIB, 16 * MIB], "kill");
  const paths = writeDisks(images, folder);
  const before = paths.map(hashOf);
  const inspect = (...args: readonly string[]) =>
    runCommand(PENSTOCK, ["pool", "inspect", ...paths, ...args], { exitCode: "any" });

  const listed = await inspect("--check");
  strictEqual(listed.exitCode, 0, listed.stdout + listed.stderr);
  match(listed.stdout, /^VOLUME +UUID +SIZE +USED +STATE\na +\S+ +1\.17MiB .* ready\nb /);
  match(listed.stdout, /\ncheck: all as it must be \(blocks: \d+ data, \d+ page, /);

  const checked = JSON.parse((await inspect("--check", "-o", "json")).stdout);
  deepStrictEqual(checked.check.problems, []);
  strictEqual(checked.volumes.length, 2);

  for (const [name, content] of images.contents) {
    const target = join(folder, `${name}.img`);
    const exported = await inspect("--volume", name, "--export", target);
    strictEqual(exported.exitCode, 0, exported.stderr);
    deepStrictEqual(new Uint8Array(readFileSync(target)), content);
    const again = await inspect("--volume", name, "--export", target);
    strictEqual(again.exitCode, 1, "a file that is there is not overwritten");
  }
  const half = await inspect("--volume", "a");
  match(half.stderr, /option-needs-another/);
  deepStrictEqual(paths.map(hashOf), before);
  deepStrictEqual(
    paths.map((path) => statSync(path).size),
    images.sizesBytes,
  );
});

test("pool inspect reads a pool of format 1", async (t) => {
  const folder = makeTempDir(t);
  const [golden] = GOLDEN_POOLS;
  ok(golden !== undefined);
  const images = readGolden(golden);
  const paths = writeDisks(images, folder);
  const target = join(folder, "thin.img");
  const args = ["--check", "-o", "json", "--volume", "thin", "--export", target];
  const { stdout } = await runCommand(PENSTOCK, ["pool", "inspect", ...paths, ...args]);
  deepStrictEqual(JSON.parse(stdout).check.problems, []);
  strictEqual(hashOf(target), hashOfBytes(images.contents.get("thin")));
});

test("pool inspect copies around a block that is damaged, and says which", async (t) => {
  const folder = makeTempDir(t);
  const images = await imagesOf([32 * MIB], "export");
  const [image] = images.disks;
  const content = images.contents.get("b") ?? new Uint8Array();
  // The first one that is not a hole.
  const lost = Math.floor(content.findIndex((byte) => byte !== 0) / BLOCK_BYTES);
  const wanted = content.subarray(lost * BLOCK_BYTES, (lost + 1) * BLOCK_BYTES);
  const found = [...(image ?? [])].find(([, bytes]) => Buffer.compare(bytes, wanted) === 0);
  const spoilt = new Map(image).set(found?.[0] ?? -1, new Uint8Array(BLOCK_BYTES).fill(9));
  const [path] = writeDisks({ ...images, disks: [spoilt] }, folder) as [string];
  const target = join(folder, "b.img");
  const args = ["pool", "inspect", path, "--volume", "b", "--export", target];
  const { exitCode, stdout } = await runCommand(PENSTOCK, args, { exitCode: "any" });
  strictEqual(exitCode, 1);
  match(stdout, new RegExp(`\\nlost: 4096 bytes at ${lost * BLOCK_BYTES}\\n`));
  const copy = new Uint8Array(readFileSync(target));
  const expected = Uint8Array.from(content);
  expected.fill(0, lost * BLOCK_BYTES, (lost + 1) * BLOCK_BYTES);
  deepStrictEqual(copy, expected);
});
