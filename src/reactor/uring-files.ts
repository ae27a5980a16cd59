/**
 * UringFiles: opening, sizing, claiming and closing of files and block devices.
 *
 * Control path: everything here runs on libuv's threads or does not block.
 */

import * as fs from "node:fs";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { lockFile } from "../sys/file-lock.ts";
import { directAlignment } from "../sys/libc.ts";
import { mapShared } from "../sys/memory.ts";
import { PenstockError } from "../util/errors.ts";
import { claimedError, FileClaim } from "./file-claim.ts";
import type { FileHandle, OpenedFile, OpenFileOptions } from "./io.ts";

const open = promisify(fs.open);
const fstat = promisify(fs.fstat);
const ftruncate = promisify(fs.ftruncate);
const close = promisify(fs.close);
const statfs = promisify(fs.statfs) as (path: string) => Promise<fs.StatsFs>;

const BLOCK_BYTES_DEFAULT = 512;
const scratch = mapShared(4096);
const scratchView = new DataView(scratch.buffer);

/** `f_type` of tmpfs. spec: statfs(2) */
const TMPFS_MAGIC = 0x01021994;

export class UringFiles {
  readonly #claims = new Map<FileHandle, FileClaim>();
  readonly #inMemory = new Set<FileHandle>();

  /** See `Io.openFile`. */
  async open(options: OpenFileOptions): Promise<OpenedFile> {
    const fd = await openFd(options);
    try {
      const opened = await this.#describe(fd, options);
      const { type } = await statfs(options.path);
      if (!opened.isBlockDevice && type === TMPFS_MAGIC) this.#inMemory.add(fd);
      return opened;
    } catch (error) {
      await this.close(fd);
      throw error;
    }
  }

  /**
   * True for files on tmpfs: reading and writing them is copying memory. The ring would hand each
   * to a kernel thread (tmpfs has no non-blocking mode), at several times the cost. Hot path.
   */
  isInMemory(fd: FileHandle): boolean {
    return this.#inMemory.has(fd);
  }

  async close(fd: FileHandle): Promise<void> {
    this.#inMemory.delete(fd);
    const claim = this.#claims.get(fd);
    this.#claims.delete(fd);
    await close(fd);
    await claim?.release();
  }

  async #describe(fd: number, options: OpenFileOptions): Promise<OpenedFile> {
    const stat = await fstat(fd);
    const isBlockDevice = stat.isBlockDevice();
    if (!isBlockDevice && !stat.isFile()) {
      throw new PenstockError({
        code: "invalid-file",
        message: `${options.path} is neither a regular file nor a block device`,
      });
    }
    const device = isBlockDevice ? stat.rdev : stat.dev;
    const major = ((device >>> 8) & 0xfff) | (Math.floor(device / 2 ** 32) & ~0xfff);
    const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
    const identity = isBlockDevice ? `${major}:${minor}` : `${major}:${minor}:${stat.ino}`;
    await this.#claim(fd, identity, options);
    const media = isBlockDevice ? await blockDeviceFacts(major, minor) : REGULAR_FILE;
    const sizeBytes = isBlockDevice
      ? checkDeviceSize(media.sizeBytes, options)
      : await growFile(fd, stat.size, options);
    const alignment =
      options.direct === true
        ? (directAlignment(fd, scratch.address, scratchView) ?? media.logicalBlockBytes)
        : 1;
    return {
      file: fd,
      sizeBytes,
      isBlockDevice,
      alignmentBytes: alignment,
      logicalBlockBytes: media.logicalBlockBytes,
      physicalBlockBytes: media.physicalBlockBytes,
      canPunch: true,
      canZero: true,
      identity,
      bootId: (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim(),
    };
  }

  async #claim(fd: number, identity: string, options: OpenFileOptions): Promise<void> {
    if (lockFile(fd, options.write) < 0) throw await claimedError(identity, options.path);
    if (!options.write) return;
    const holder = options.holder ?? "penstock";
    this.#claims.set(fd, await FileClaim.take(identity, options.path, holder));
  }
}

async function openFd(options: OpenFileOptions): Promise<number> {
  const { O_RDWR, O_RDONLY, O_CREAT, O_EXCL, O_DIRECT } = fs.constants;
  let flags = options.write ? O_RDWR : O_RDONLY;
  if (options.direct === true) flags |= O_DIRECT;
  const isDevice = await isBlockDevicePath(options.path);
  // O_EXCL without O_CREAT on a block device: refused while it is mounted or held elsewhere.
  if (isDevice && options.write) flags |= O_EXCL;
  else if (options.createSizeBytes !== undefined && options.write) flags |= O_CREAT;
  try {
    return await open(options.path, flags, 0o600);
  } catch (error) {
    throw openError(options, (error as NodeJS.ErrnoException).code ?? "", error);
  }
}

async function isBlockDevicePath(path: string): Promise<boolean> {
  try {
    return (await promisify(fs.stat)(path)).isBlockDevice();
  } catch {
    // A path that cannot be looked at is opened all the same: that gives the error to report.
    return false;
  }
}

const OPEN_ERRORS: Readonly<Record<string, readonly [code: string, words: string]>> = {
  ENOENT: ["not-found", "does not exist (size=... in the query creates it)"],
  EACCES: ["permission-denied", "may not be opened by this user"],
  EPERM: ["permission-denied", "may not be opened by this user"],
  EROFS: ["permission-denied", "is on a read-only file system (readonly=1 opens it so)"],
  EISDIR: ["invalid-file", "is a directory"],
  ENOTDIR: ["not-found", "has a parent that is not a directory"],
  EBUSY: ["claimed", "is in use by the system (mounted, or held by another program)"],
  EINVAL: ["unsupported", "cannot be opened for direct I/O on this file system"],
};

function openError(options: OpenFileOptions, system: string, cause: unknown): PenstockError {
  const known = OPEN_ERRORS[system];
  return new PenstockError({
    code: known?.[0] ?? "open-failed",
    message: `${options.path} ${known?.[1] ?? `cannot be opened (${system})`}`,
    cause,
  });
}

async function growFile(fd: number, sizeBytes: number, options: OpenFileOptions): Promise<number> {
  const wanted = options.createSizeBytes;
  if (wanted === undefined || wanted === sizeBytes) return sizeBytes;
  if (wanted < sizeBytes) {
    throw new PenstockError({
      code: "size-mismatch",
      message: `${options.path} has ${sizeBytes} bytes, more than size=${wanted}: nothing is cut off`,
    });
  }
  try {
    await ftruncate(fd, wanted);
  } catch (cause) {
    throw new PenstockError({
      code: "no-space",
      message: `${options.path} cannot grow from ${sizeBytes} to ${wanted} bytes`,
      cause,
    });
  }
  return wanted;
}

interface MediaFacts {
  readonly sizeBytes: number;
  readonly logicalBlockBytes: number;
  readonly physicalBlockBytes: number;
}

const REGULAR_FILE: MediaFacts = {
  sizeBytes: 0,
  logicalBlockBytes: BLOCK_BYTES_DEFAULT,
  physicalBlockBytes: 4096,
};

async function blockDeviceFacts(major: number, minor: number): Promise<MediaFacts> {
  const base = `/sys/dev/block/${major}:${minor}`;
  const number = async (path: string): Promise<number | null> => {
    try {
      return Number((await readFile(path, "utf8")).trim());
    } catch {
      return null;
    }
  };
  // A partition has no queue folder of its own; its disk's is one level up.
  const queue = async (name: string): Promise<number> =>
    (await number(`${base}/queue/${name}`)) ??
    (await number(`${base}/../queue/${name}`)) ??
    BLOCK_BYTES_DEFAULT;
  return {
    sizeBytes: ((await number(`${base}/size`)) ?? 0) * 512,
    logicalBlockBytes: await queue("logical_block_size"),
    physicalBlockBytes: await queue("physical_block_size"),
  };
}

function checkDeviceSize(sizeBytes: number, options: OpenFileOptions): number {
  const wanted = options.createSizeBytes;
  if (wanted === undefined || wanted === sizeBytes) return sizeBytes;
  throw new PenstockError({
    code: "size-mismatch",
    message: `${options.path} is a block device of ${sizeBytes} bytes, not of size=${wanted}`,
  });
}
