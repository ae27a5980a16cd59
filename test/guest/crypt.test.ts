/**
 * `crypt` beside the Linux kernel's dm-crypt: what we write through it the guest reads with
 * `cryptsetup open --type plain`, and the reverse, on the same files, however sectors are counted.
 *
 *   we write through crypt --> the guest, on plain exports, reads and writes through dm-crypt
 *   --> we read through crypt
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import type { TestContext } from "node:test";

import { Command } from "../../src/proto/nbd/constants.ts";
import { bootGuest, GUEST_HOST } from "../../src/testing/guest/boot-guest.ts";
import { guestSkipReason } from "../../src/testing/guest/guest-kernel.ts";
import { forEachLevel, type Level } from "../../src/testing/levels.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { Prng } from "../../src/util/prng.ts";

const SKIP = guestSkipReason("nbd-client", "cryptsetup");
const GUEST_TIMEOUT_MS = 170_000;
const DISK_BYTES = 8 * 2 ** 20;
/** We write below it, the guest from GUEST_OFFSET on. */
const OUR_BYTES = 4 * 2 ** 20;
const GUEST_OFFSET = 5 * 2 ** 20 + 5 * 4096;
/** Zeroed and trimmed by us; within what we write. */
const ZEROED = { offset: 2 ** 20, length: 256 * 1024 };
const TRIMMED = { offset: 2 * 2 ** 20 + 4096, length: 128 * 1024 };

interface Format {
  readonly name: string;
  /** Options of our stage, besides the key. */
  readonly ours: string;
  /** Arguments of cryptsetup. */
  readonly theirs: string;
  readonly sectorBytes: number;
  readonly keyBytes: 32 | 64;
}

const FORMATS: readonly Format[] = [
  { name: "small", ours: "", theirs: "", sectorBytes: 512, keyBytes: 64 },
  {
    name: "large",
    ours: "&sector=4096",
    theirs: "--sector-size 4096",
    sectorBytes: 4096,
    keyBytes: 64,
  },
  {
    name: "counted",
    ours: "&sector=4096&iv-large-sectors=true",
    theirs: "--sector-size 4096 --iv-large-sectors",
    sectorBytes: 4096,
    keyBytes: 64,
  },
  {
    name: "skipping",
    ours: "&sector=4096&skip=1MiB",
    theirs: "--sector-size 4096 --skip 2048",
    sectorBytes: 4096,
    keyBytes: 32,
  },
];

interface Disk extends Format {
  readonly image: string;
  readonly keyPath: string;
  readonly key: Uint8Array;
  /** All that we wrote, zeroes included. */
  readonly content: Buffer;
}

/** Reads all of ours, then writes /data; a disk each. */
function script(disks: readonly Disk[], uris: readonly string[]): string {
  const steps = disks.map(({ name, theirs, keyBytes, sectorBytes }, index) => {
    const { port } = new URL(uris[index] as string);
    const device = `/dev/nbd${index}`;
    return `
nbd-client -N ${name} ${GUEST_HOST} ${port} ${device} -b 512 >&2
cryptsetup open --type plain --cipher aes-xts-plain64 --key-size ${keyBytes * 8} \
  --key-file /${name}.key ${theirs} ${device} ${name} >&2
test "$(blockdev --getss /dev/mapper/${name})" = ${sectorBytes}
test "$(blockdev --getsize64 /dev/mapper/${name})" = ${DISK_BYTES}
dd if=/dev/mapper/${name} bs=64k count=${OUR_BYTES / 65536} 2>/dev/null | sha256sum
dd if=/data of=/dev/mapper/${name} bs=4k seek=${GUEST_OFFSET / 4096} conv=notrunc 2>/dev/null
sync
cryptsetup close ${name} >&2
nbd-client -d ${device} >&2
`;
  });
  return `
export DM_DISABLE_UDEV=1
mkdir -p /run/cryptsetup
${steps.join("")}
echo done
`;
}

forEachLevel(
  "what crypt stores is what dm-crypt reads and writes",
  { skip: SKIP, timeoutMs: GUEST_TIMEOUT_MS + 60_000, levels: ["uring"] },
  async (t, level) => {
    const prng = new Prng(testSeed(t));
    const folder = makeTempDir(t);
    const disks = FORMATS.map((format): Disk => {
      const key = noise(prng, format.keyBytes);
      const keyPath = `${folder}/${format.name}.key`;
      // The first as hex digits, as people keep them, the others raw.
      writeFileSync(keyPath, format.name === "small" ? `${key.toString("hex")}\n` : key);
      const content = noise(prng, OUR_BYTES);
      for (const { offset, length } of [ZEROED, TRIMMED]) content.fill(0, offset, offset + length);
      return { ...format, image: `${folder}/${format.name}.img`, keyPath, key, content };
    });
    await withCrypt(t, disks, level, write);
    for (const { image, content, name } of disks) {
      const stored = readFileSync(image);
      assert.equal(stored.length, DISK_BYTES);
      assert.ok(!stored.includes(content.subarray(0, 64)), `${name} is not encrypted`);
    }
    const data = noise(prng, 768 * 1024);
    const output = await runGuest(t, disks, level, data);
    const hashes = disks.map(({ content }) => createHash("sha256").update(content).digest("hex"));
    assert.deepEqual(output, [...hashes.map((hash) => `${hash}  -`), "done"]);
    await withCrypt(t, disks, level, async (client, { name, content }) => {
      const ours = await client.read(0, OUR_BYTES);
      assert.ok(ours.equals(content), `${name}: what we wrote has changed`);
      const theirs = await client.read(GUEST_OFFSET, data.length);
      assert.ok(theirs.equals(data), `${name}: what the guest wrote reads otherwise`);
    });
  },
);

/** Serves all disks through crypt, and has `body` use each. */
async function withCrypt(
  t: TestContext,
  disks: readonly Disk[],
  level: Level,
  body: (client: NbdRawClient, disk: Disk) => Promise<void>,
): Promise<void> {
  const pipes = disks.map(
    ({ image, keyPath, ours, name }) =>
      `${image}?size=8MiB | crypt?key=file:${keyPath}${ours} | nbd://127.0.0.1:0/${name}`,
  );
  const server = await startPenstock(t, pipes, { level });
  for (const [index, disk] of disks.entries()) {
    const client = await NbdRawClient.open(server.uris[index] as string);
    await body(client, disk);
    await client.disconnect();
  }
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
}

async function write(client: NbdRawClient, { content }: Disk): Promise<void> {
  const bytes = Buffer.from(content);
  // Not zeroes yet: they must be seen to become zeroes.
  for (const { offset, length } of [ZEROED, TRIMMED]) bytes.fill(0xee, offset, offset + length);
  const step = 128 * 1024;
  const writes: Promise<void>[] = [];
  for (let at = 0; at < OUR_BYTES; at += step) {
    writes.push(client.write(at, bytes.subarray(at, at + step)));
  }
  await Promise.all(writes);
  for (const [command, range] of [
    [Command.writeZeroes, ZEROED],
    [Command.trim, TRIMMED],
  ] as const) {
    const { error } = await client.command({ command, ...range });
    assert.equal(error, 0);
  }
  await client.flush();
}

/** Exports the files as they are; the lines that the guest's script printed. */
async function runGuest(
  t: TestContext,
  disks: readonly Disk[],
  level: Level,
  data: Uint8Array,
): Promise<string[]> {
  const plain = disks.map(({ image, name }) => `${image} | nbd://127.0.0.1:0/${name}`);
  const server = await startPenstock(t, plain, { level });
  const { output } = await bootGuest({
    script: script(disks, server.uris),
    modules: [`nbd nbds_max=${disks.length}`, "dm-crypt", "xts", "aesni-intel"],
    programs: ["nbd-client", "cryptsetup"],
    files: {
      "/data": data,
      ...Object.fromEntries(disks.map(({ name, key }) => [`/${name}.key`, key])),
    },
    timeoutMs: GUEST_TIMEOUT_MS,
  });
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  return output.split("\n");
}

function noise(prng: Prng, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  prng.fill(bytes);
  return bytes;
}
