/**
 * Images of the disks of a small pool, with what its volumes hold, for tests that spoil bytes of
 * them and look what an import makes of it.
 */

import { DeviceError } from "../block/device-error.ts";
import { PromiseDevice } from "../block/promise-device.ts";
import { Status } from "../block/status.ts";
import { Pool } from "../pool/pool.ts";
import type { ImportFindings, PoolOptions } from "../pool/pool-info.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";
import { Prng } from "../util/prng.ts";
import { uuidOfName } from "../util/uuid.ts";
import { CrashDisk, type DiskImage } from "./crash-disk.ts";
import { poolEnvironment, type TestPoolEnvironment } from "./pool-rig.ts";

export interface PoolImages {
  readonly disks: readonly DiskImage[];
  readonly sizesBytes: readonly number[];
  /** By name. */
  readonly contents: ReadonlyMap<string, Uint8Array>;
}

export interface Outcome {
  /** Code of the import's error; null: it worked. */
  readonly refused: string | null;
  readonly findings: ImportFindings | null;
  /** Blocks that reads answered with media-error: "name block". */
  readonly lost: readonly string[];
  /** Blocks with another content. */
  readonly wrong: readonly string[];
  /** Volumes that are not there any more. */
  readonly gone: readonly string[];
  readonly environment: TestPoolEnvironment;
}

const MIB = 2 ** 20;
const BLOCK_BYTES = 4096;
const CACHE_BYTES = MIB;
/** Of a page, and where in it are its tree and its kind. */
const PAGE_MAGIC = "PGSP";
const TREE_AT = 40;
const KIND_AT = 35;

/** Blocks of two volumes, some in the checkpoint, some in the log; the process is killed. */
export async function makePoolImages(
  reactor: Reactor,
  sizesBytes: readonly number[],
  end: "kill" | "export",
): Promise<PoolImages> {
  const random = new Prng("images");
  const disks = openImages(reactor, sizesBytes, [], "before");
  const environment = poolEnvironment(reactor, "images");
  const options = { name: "pool", chunkBytes: 64 * 1024, cacheBytes: CACHE_BYTES };
  const pool = await Pool.create(environment, disks, options);
  const contents = new Map<string, Uint8Array>();
  const devices: PromiseDevice[] = [];
  for (const [name, blocks] of [["a", 300] as const, ["b", 900] as const]) {
    const sizeBytes = blocks * BLOCK_BYTES;
    const properties = new Map([["user.x", new Uint8Array(3000).fill(7)]]);
    await pool.createVolume({ name, sizeBytes, properties });
    contents.set(name, new Uint8Array(sizeBytes));
    devices.push(new PromiseDevice(await pool.openVolume(name, { stageName: name })));
  }
  for (let step = 0; step < 160; step++) {
    for (const [index, content] of [...contents.values()].entries()) {
      const first = random.below(content.length / BLOCK_BYTES);
      const count = Math.min(1 + random.below(4), content.length / BLOCK_BYTES - first);
      const piece = content.subarray(first * BLOCK_BYTES, (first + count) * BLOCK_BYTES);
      random.fill(piece);
      await devices[index]?.writeAt(first * BLOCK_BYTES, Uint8Array.from(piece));
    }
    if (step === 60 || step === 120) await devices[0]?.flush();
    if (step === 120) await pool.parts.checkpointer.run("in use");
  }
  if (end === "export") {
    for (const device of devices) await device.close();
    await pool.export();
  }
  const images = disks.map((disk) => (end === "kill" ? disk.kill(random) : disk.image()));
  return { disks: images, sizesBytes, contents };
}

/** Changes a byte of all pages of one kind and tree, of all generations, both copies. */
export function withoutPages(images: PoolImages, kind: number, tree: number): PoolImages {
  let count = 0;
  const disks = images.disks.map((image) => {
    const changed = new Map(image);
    for (const [block, bytes] of image) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, BLOCK_BYTES);
      const isPage = Buffer.from(bytes.subarray(0, 4)).toString("latin1") === PAGE_MAGIC;
      if (!isPage || view.getUint8(KIND_AT) !== kind) continue;
      if (view.getUint32(TREE_AT, true) !== tree) continue;
      const spoilt = Uint8Array.from(bytes);
      spoilt[100] = (spoilt[100] as number) ^ 1;
      changed.set(block, spoilt);
      count++;
    }
    return changed as DiskImage;
  });
  assert(count >= 2, "there are such pages");
  return { ...images, disks };
}

/** Imports such disks, reads all volumes, and compares. */
export async function tryImages(
  reactor: Reactor,
  images: PoolImages,
  instance: string,
  options: PoolOptions = {},
): Promise<Outcome> {
  const environment = poolEnvironment(reactor, "again");
  const disks = openImages(reactor, images.sizesBytes, images.disks, instance);
  const lost: string[] = [];
  const wrong: string[] = [];
  const gone: string[] = [];
  let pool: Pool;
  try {
    pool = await Pool.import(environment, disks, { cacheBytes: CACHE_BYTES, ...options });
  } catch (error) {
    const refused = (error as { readonly code?: string }).code;
    if (refused === undefined || refused === "assertion-failed") throw error;
    return { refused, findings: null, lost, wrong, gone, environment };
  }
  for (const [name, content] of images.contents) {
    if (pool.volume(name) === undefined) {
      gone.push(name);
      continue;
    }
    const device = new PromiseDevice(await pool.openVolume(name, { stageName: name }));
    await compare(device, name, content, lost, wrong);
    await device.close();
  }
  const { findings } = pool;
  await pool.close();
  return { refused: null, findings, lost, wrong, gone, environment };
}

async function compare(
  device: PromiseDevice,
  name: string,
  content: Uint8Array,
  lost: string[],
  wrong: string[],
): Promise<void> {
  const PIECE = 64 * BLOCK_BYTES;
  const look = async (offset: number, length: number): Promise<void> => {
    const bytes = await readOrNull(device, offset, length);
    if (bytes === null && length > BLOCK_BYTES) {
      for (let at = offset; at < offset + length; at += BLOCK_BYTES) await look(at, BLOCK_BYTES);
    } else if (bytes === null) {
      lost.push(`${name} ${offset / BLOCK_BYTES}`);
    } else if (Buffer.compare(bytes, content.subarray(offset, offset + length)) !== 0) {
      if (length === BLOCK_BYTES) wrong.push(`${name} ${offset / BLOCK_BYTES}`);
      else for (let at = 0; at < length; at += BLOCK_BYTES) await look(offset + at, BLOCK_BYTES);
    }
  };
  for (let offset = 0; offset < content.length; offset += PIECE) {
    await look(offset, Math.min(PIECE, content.length - offset));
  }
}

async function readOrNull(
  device: PromiseDevice,
  offset: number,
  length: number,
): Promise<Uint8Array | null> {
  try {
    return await device.readAt(offset, length);
  } catch (error) {
    if (error instanceof DeviceError && error.status === Status.mediaError) return null;
    throw error;
  }
}

/** Disks with such images; fresh ones where there is none. */
export function openImages(
  reactor: Reactor,
  sizesBytes: readonly number[],
  images: readonly DiskImage[],
  instance: string,
): CrashDisk[] {
  return sizesBytes.map((sizeBytes, index) => {
    const image = images[index];
    const name = `disk${index}`;
    const instanceId = uuidOfName(`${name} ${instance}`);
    const of = image === undefined ? {} : { image };
    return new CrashDisk(reactor, { name, sizeBytes, instanceId, ...of });
  });
}
