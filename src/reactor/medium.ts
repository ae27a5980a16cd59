/**
 * What an open file is: its kind, size, block sizes and identity, with node:fs and sysfs only.
 *
 * Stateless. Identities are the same text at every level, because claims are by them.
 */

import fs from "node:fs";
import { open, readFile, realpath } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";

import { failureOf, invalidFileError, openFileError, sizeMismatchError } from "./io-errors.ts";
import type { OpenFileOptions } from "./io.ts";

const fstat = promisify(fs.fstat) as (
  fd: number,
  options: { readonly bigint: true },
) => Promise<fs.BigIntStats>;
const ftruncate = promisify(fs.ftruncate);
const fsync = promisify(fs.fsync);

const SECTOR_BYTES = 512;
const PHYSICAL_BYTES_DEFAULT = 4096;
const BOOT_ID_PATH = "/proc/sys/kernel/random/boot_id";

export interface Medium {
  readonly sizeBytes: number;
  readonly isBlockDevice: boolean;
  readonly logicalBlockBytes: number;
  readonly physicalBlockBytes: number;
  /** "major:minor:inode" of a regular file, "major:minor" of a block device. */
  readonly identity: string;
}

/**
 * Looks at an open file.
 * @throws PenstockError `invalid-file` unless it is a regular file or a block device
 */
export async function describeMedium(fd: number, path: string): Promise<Medium> {
  const stat = await fstat(fd, { bigint: true });
  if (stat.isFile()) {
    return {
      sizeBytes: Number(stat.size),
      isBlockDevice: false,
      logicalBlockBytes: SECTOR_BYTES,
      physicalBlockBytes: PHYSICAL_BYTES_DEFAULT,
      identity: `${deviceName(stat.dev)}:${stat.ino}`,
    };
  }
  if (!stat.isBlockDevice()) throw invalidFileError(path, kindOf(stat));
  const identity = deviceName(stat.rdev);
  const folder = `/sys/dev/block/${identity}`;
  const sizeSectors = await readNumber(`${folder}/size`);
  if (sizeSectors === null) throw invalidFileError(path, "a block device of unknown size");
  return {
    sizeBytes: sizeSectors * SECTOR_BYTES,
    isBlockDevice: true,
    logicalBlockBytes: await readQueueNumber(folder, "logical_block_size"),
    physicalBlockBytes: await readQueueNumber(folder, "physical_block_size"),
    identity,
  };
}

/** How large an open file is by now. @throws PenstockError `invalid-file`: its device is gone */
export async function sizeOfMedium(fd: number): Promise<number> {
  return (await describeMedium(fd, `file descriptor ${fd}`)).sizeBytes;
}

/**
 * Brings a regular file to the size asked for, never by cutting; makes the new size durable.
 * @returns the size that the file has now
 * @throws PenstockError `size-mismatch`, `no-space`
 */
export async function fitSize(
  fd: number,
  medium: Medium,
  options: OpenFileOptions,
): Promise<number> {
  const haveBytes = medium.sizeBytes;
  const wantedBytes = options.createSizeBytes ?? haveBytes;
  if (wantedBytes === haveBytes) return haveBytes;
  if (wantedBytes < haveBytes || medium.isBlockDevice || !options.write) {
    throw sizeMismatchError(options.path, { haveBytes, wantedBytes });
  }
  try {
    await ftruncate(fd, wantedBytes);
    await fsync(fd);
    // Empty so far: its name may be as new as its size, and a lost name loses every flushed write.
    if (haveBytes === 0) await syncFolderOf(options.path);
  } catch (error) {
    throw openFileError(options.path, failureOf(error));
  }
  return wantedBytes;
}

/** A file's name is durable only when its folder is. */
async function syncFolderOf(path: string): Promise<void> {
  const folder = await open(dirname(await realpath(path)), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Changes with every boot; where the system does not tell, with every process. */
export async function readBootId(): Promise<string> {
  try {
    return (await readFile(BOOT_ID_PATH, "latin1")).trim();
  } catch (_notLinux) {
    return `process-${process.pid}-${Math.floor(performance.timeOrigin)}`;
  }
}

/** "8:1" of a dev_t. spec: makedev(3), glibc's 64-bit layout */
function deviceName(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/** A partition has no queue of its own: its disk's is one folder up from where the link leads. */
async function readQueueNumber(folder: string, name: string): Promise<number> {
  return (
    (await readNumber(`${folder}/queue/${name}`)) ??
    (await readNumber(`${folder}/../queue/${name}`)) ??
    SECTOR_BYTES
  );
}

async function readNumber(path: string): Promise<number | null> {
  try {
    const value = Number((await readFile(path, "latin1")).trim());
    return Number.isSafeInteger(value) ? value : null;
  } catch (_notThere) {
    return null;
  }
}

function kindOf(stat: fs.BigIntStats): string {
  if (stat.isDirectory()) return "a directory";
  if (stat.isFIFO()) return "a pipe";
  if (stat.isCharacterDevice()) return "a character device";
  return "something else";
}
