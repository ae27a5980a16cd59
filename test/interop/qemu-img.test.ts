/** qemu-img as a client: convert, compare, map, info, and a qcow2 image kept on our export. */

import assert from "node:assert/strict";
import { randomFillSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { forEachExport } from "../../src/testing/export-matrix.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const SKIP = missingTools("qemu-img", "qemu-io");
const SIZE_BYTES = 16 * 2 ** 20;

interface ImageInfo {
  readonly "virtual-size": number;
  readonly format: string;
}

interface MapEntry {
  readonly start: number;
  readonly length: number;
  readonly zero: boolean;
  readonly data: boolean;
}

forEachExport("qemu-img", { skip: SKIP, sizeBytes: SIZE_BYTES }, async (t, served) => {
  const { uri } = served;
  const folder = makeTempDir(t);
  const image = join(folder, "image");
  writeFileSync(image, makeImage());

  await t.test("convert to the export and back, compare", async () => {
    await runCommand("qemu-img", ["convert", "-n", "-f", "raw", "-O", "raw", image, uri]);
    await compare(image, uri);
    const back = join(folder, "back");
    await runCommand("qemu-img", ["convert", "-f", "raw", "-O", "raw", uri, back]);
    assert.ok(readFileSync(back).equals(readFileSync(image)));
    const wide = ["convert", "-n", "-W", "-m", "8", "-t", "none", "-S", "0"];
    await runCommand("qemu-img", [...wide, "-f", "raw", "-O", "raw", image, uri]);
    await compare(image, uri);
  });

  await t.test("compare finds a single changed byte", async () => {
    // Noise may hold any pattern by chance: write one that differs from what is there.
    const pattern = (readFileSync(image)[7_000_001] ?? 0) ^ 0xff;
    await runCommand("qemu-io", ["-f", "raw", "-c", `write -P ${pattern} 7000001 1`, uri]);
    await runCommand("qemu-img", ["compare", "-f", "raw", "-F", "raw", image, uri], {
      exitCode: 1,
    });
  });

  await t.test("info and map", async () => {
    const info = await runCommand("qemu-img", ["info", "--output=json", "-f", "raw", uri]);
    assert.equal((JSON.parse(info.stdout) as ImageInfo)["virtual-size"], SIZE_BYTES);
    const { stdout } = await runCommand("qemu-img", ["map", "--output=json", "-f", "raw", uri]);
    const map = JSON.parse(stdout) as MapEntry[];
    const lengthBytes = map.reduce((sum, { length }) => sum + length, 0);
    assert.equal(lengthBytes, SIZE_BYTES);
    assert.equal(map.find(({ start }) => start === 0)?.data, true);
  });

  await t.test("a qcow2 image lives on the export", async () => {
    await runCommand("qemu-img", ["create", "-q", "-f", "qcow2", uri, "8M"]);
    const write = ["-c", "write -P 0x77 12345 654321", "-c", "discard 1M 1M", "-c", "flush"];
    await runCommand("qemu-io", ["-f", "qcow2", "-d", "unmap", ...write, uri]);
    await runCommand("qemu-io", ["-f", "qcow2", "-c", "read -P 0x77 12345 654321", uri]);
    await runCommand("qemu-img", ["check", "-f", "qcow2", uri]);
    const info = await runCommand("qemu-img", ["info", "--output=json", uri]);
    assert.equal((JSON.parse(info.stdout) as ImageInfo).format, "qcow2");
  });
});

async function compare(image: string, uri: string): Promise<void> {
  await runCommand("qemu-img", ["compare", "-f", "raw", "-F", "raw", image, uri]);
}

/** Noise, zeroes that are data, noise, and zeroes to the end. */
function makeImage(): Buffer {
  const image = Buffer.alloc(SIZE_BYTES);
  randomFillSync(image, 0, 3_000_000);
  randomFillSync(image, 5_000_000, 4_000_000);
  return image;
}
