/**
 * Golden pools: the disks of small pools as an earlier version has written them, which every later
 * version must be able to read. The files are never written anew: a pool of a newer format gets a
 * file of its own.
 *
 * A file is Brotli over: u32 length of a JSON header, the header (sizes of the disks), then for
 * each block that is not zero u32 disk, u32 block, 4096 bytes; all little-endian.
 */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import { PromiseDevice } from "../block/promise-device.ts";
import { Pool } from "../pool/pool.ts";
import type { CreatePoolOptions } from "../pool/pool-info.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";
import { Prng } from "../util/prng.ts";
import { uuidOfName } from "../util/uuid.ts";
import { CrashDisk } from "./crash-disk.ts";
import type { PoolImages } from "./pool-images.ts";
import { poolEnvironment } from "./pool-rig.ts";

export interface GoldenPool {
  /** The file's name, without its ending. */
  readonly file: string;
  readonly checksum: NonNullable<CreatePoolOptions["checksum"]>;
  readonly sizesBytes: readonly number[];
  readonly end: "kill" | "export";
}

const FOLDER = join(import.meta.dirname, "../pool/golden");
const MIB = 2 ** 20;
const BLOCK_BYTES = 4096;

/** Of format 1, before there were snapshots. */
export const GOLDEN_POOLS: readonly GoldenPool[] = [
  {
    file: "format-1-killed-xxh64",
    checksum: "xxh64",
    sizesBytes: [32 * MIB, 16 * MIB],
    end: "kill",
  },
  { file: "format-1-exported-crc32c", checksum: "crc32c", sizesBytes: [32 * MIB], end: "export" },
  { file: "format-1-exported-crc32", checksum: "crc32", sizesBytes: [32 * MIB], end: "export" },
];

/** What their volumes are. */
export const GOLDEN_VOLUMES = [
  { name: "thin", sizeBytes: 16 * MIB, isThin: true },
  { name: "thick", sizeBytes: 2 * MIB, isThin: false },
  // It was twice as large, and is not whole blocks long.
  { name: "small", sizeBytes: 100 * BLOCK_BYTES + 512, isThin: true },
] as const;
export const GOLDEN_NOTE: Uint8Array = new TextEncoder().encode("written by format 1");

/** As its file has it. */
export function readGolden({ file }: GoldenPool): PoolImages {
  const bytes = brotliDecompressSync(readFileSync(join(FOLDER, `${file}.br`)));
  const headerLength = bytes.readUInt32LE(0);
  const header = bytes.toString("utf8", 4, 4 + headerLength);
  const { sizesBytes } = JSON.parse(header) as { readonly sizesBytes: readonly number[] };
  const disks = sizesBytes.map(() => new Map<number, Uint8Array>());
  for (let at = 4 + headerLength; at < bytes.length; at += 8 + BLOCK_BYTES) {
    const content = Uint8Array.from(bytes.subarray(at + 8, at + 8 + BLOCK_BYTES));
    disks[bytes.readUInt32LE(at)]?.set(bytes.readUInt32LE(at + 4), content);
  }
  return { disks, sizesBytes, contents: goldenContents() };
}

/** Keeps a pool that was made for all time. Does nothing when there is one. */
export function keepGolden({ file }: GoldenPool, { disks, sizesBytes }: PoolImages): void {
  const path = join(FOLDER, `${file}.br`);
  if (existsSync(path)) return;
  const header = Buffer.from(JSON.stringify({ sizesBytes }));
  const parts: Uint8Array[] = [u32(header.length), header];
  for (const [disk, image] of disks.entries()) {
    for (const [block, bytes] of image) {
      if (bytes.some((byte) => byte !== 0)) parts.push(u32(disk), u32(block), bytes);
    }
  }
  // Copies of pages and labels lie far apart.
  const params = { [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS };
  writeFileSync(path, brotliCompressSync(Buffer.concat(parts), { params }));
}

/** Makes such a pool by the code as it is. */
export async function makeGolden(reactor: Reactor, golden: GoldenPool): Promise<PoolImages> {
  const { checksum, sizesBytes, end } = golden;
  const disks = sizesBytes.map((sizeBytes, index) => {
    const name = `disk${index}`;
    return new CrashDisk(reactor, { name, sizeBytes, instanceId: uuidOfName(name) });
  });
  const environment = poolEnvironment(reactor, "golden");
  const options = { name: "golden", chunkBytes: 64 * 1024, cacheBytes: MIB, checksum };
  const pool = await Pool.create(environment, disks, options);
  for (const { name, isThin, sizeBytes } of GOLDEN_VOLUMES) {
    const first = name === "small" ? 2 * sizeBytes : sizeBytes;
    await pool.createVolume({ name, isThin, sizeBytes: first });
  }
  await pool.createVolume({ name: "gone", sizeBytes: MIB });
  await write(pool, FIRST_CHANGES);
  await pool.setProperties("thin", new Map([["user.note", GOLDEN_NOTE]]));
  await pool.resizeVolume("small", 100 * BLOCK_BYTES + 512);
  await pool.deleteVolume("gone");
  await pool.deleted();
  await pool.parts.checkpointer.run("in use");
  // These are in the log only, where the process is killed.
  await write(pool, LAST_CHANGES);
  await pool.setProperties(null, new Map([["user.pool", GOLDEN_NOTE]]));
  if (end === "export") await pool.export();
  const random = new Prng("golden");
  const images = disks.map((disk) => (end === "kill" ? disk.kill(random) : disk.image()));
  return { disks: images, sizesBytes, contents: goldenContents() };
}

interface Change {
  readonly volume: string;
  readonly block: number;
  /** 0: the block is discarded. */
  readonly round: number;
}

/** Every 16th block of the large one, so that its tree has two levels. */
const FIRST_CHANGES: readonly Change[] = [
  ...range(210).map((index) => ({ volume: "thin", block: index * 16, round: 1 })),
  ...range(60).map((block) => ({ volume: "thick", block, round: 1 })),
  ...range(101)
    .map((block) => ({ volume: "small", block, round: 1 }))
    .filter(({ block }) => block % 5 === 0),
  ...range(20).map((block) => ({ volume: "gone", block, round: 1 })),
];
const LAST_CHANGES: readonly Change[] = [
  ...range(40).map((index) => ({ volume: "thin", block: index * 48, round: 2 })),
  ...range(16).map((index) => ({ volume: "thin", block: index * 80 + 16, round: 0 })),
  ...range(30).map((index) => ({ volume: "thick", block: 50 + index, round: 2 })),
  ...range(5).map((index) => ({ volume: "small", block: index * 15, round: 0 })),
];

function goldenContents(): Map<string, Uint8Array> {
  const contents = new Map<string, Uint8Array>();
  for (const { name, sizeBytes } of GOLDEN_VOLUMES) contents.set(name, new Uint8Array(sizeBytes));
  for (const change of [...FIRST_CHANGES, ...LAST_CHANGES]) {
    const content = contents.get(change.volume);
    const offset = change.block * BLOCK_BYTES;
    const bytes = bytesOf(change);
    content?.set(bytes.subarray(0, Math.max(0, content.length - offset)), offset);
  }
  return contents;
}

async function write(pool: Pool, changes: readonly Change[]): Promise<void> {
  for (const name of new Set(changes.map(({ volume }) => volume))) {
    const device = new PromiseDevice(await pool.openVolume(name, { stageName: name }));
    for (const change of changes.filter(({ volume }) => volume === name)) {
      const offset = change.block * BLOCK_BYTES;
      if (change.round === 0) await device.discard(offset, BLOCK_BYTES);
      else await device.writeAt(offset, bytesOf(change));
    }
    await device.flush();
    await device.close();
  }
}

/** Other ones for each volume, block and round. */
function bytesOf({ volume, block, round }: Change): Uint8Array {
  const bytes = Buffer.alloc(BLOCK_BYTES);
  if (round > 0) bytes.fill(`${volume} ${block} ${round}\n`);
  assert(round === 0 || bytes[0] !== 0, "a block that was written is not zeroes");
  return Uint8Array.from(bytes);
}

function range(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index);
}

function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
