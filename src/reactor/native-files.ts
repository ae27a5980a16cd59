/**
 * NativeFiles: opening, sizing, claiming and closing of files and block devices.
 *
 * Control path: everything here runs on libuv's threads or does not block.
 */

import * as fs from "node:fs";
import { promisify } from "node:util";
import { lockFile } from "../sys/file-lock.ts";
import { directAlignment } from "../sys/libc.ts";
import { mapShared } from "../sys/memory.ts";
import { Errno } from "./errno.ts";
import { countFaults } from "./fault-marks.ts";
import { askHolder, claimedError, FileClaim } from "./file-claim.ts";
import type { FileHandle, OpenedFile, OpenFileOptions } from "./io.ts";
import { directUnsupportedError, failureOf, invalidFileError, openFileError } from "./io-errors.ts";
import { describeMedium, fitSize, readBootId, sizeOfMedium } from "./medium.ts";

const open = promisify(fs.open);
const close = promisify(fs.close);
const statfs = promisify(fs.statfs) as (path: string) => Promise<fs.StatsFs>;

const scratch = mapShared(4096);
const scratchView = new DataView(scratch.buffer);

/** `f_type` of tmpfs. spec: statfs(2) */
const TMPFS_MAGIC = 0x01021994;

/** How a file is read and written. */
export const FileKind = {
  /** Through the page cache. */
  cached: 0,
  /**
   * On tmpfs: reading and writing is copying memory. The ring would hand each to a kernel thread
   * (tmpfs has no non-blocking mode), at several times the cost.
   */
  inMemory: 1,
  /** O_DIRECT. */
  direct: 2,
} as const;
export type FileKind = (typeof FileKind)[keyof typeof FileKind];

export class NativeFiles {
  readonly #claims = new Map<FileHandle, FileClaim>();
  /** By fd. */
  readonly #kinds: FileKind[] = [];

  /** See `Io.openFile`. */
  async open(options: OpenFileOptions): Promise<OpenedFile> {
    const fd = await openFd(options);
    try {
      const opened = await this.#describe(fd, options);
      const { type } = await statfs(options.path);
      const isInMemory = !opened.isBlockDevice && type === TMPFS_MAGIC;
      const kind = options.direct === true ? FileKind.direct : FileKind.cached;
      // Dense from the start: a sparse index would make this array a dictionary.
      while (this.#kinds.length <= fd) this.#kinds.push(FileKind.cached);
      this.#kinds[fd] = isInMemory ? FileKind.inMemory : kind;
      return opened;
    } catch (error) {
      await this.close(fd);
      throw error;
    }
  }

  // hot path
  kindOf(fd: FileHandle): FileKind {
    return this.#kinds[fd] ?? FileKind.cached;
  }

  sizeOf(fd: FileHandle): Promise<number> {
    return sizeOfMedium(fd);
  }

  async close(fd: FileHandle): Promise<void> {
    if (fd < this.#kinds.length) this.#kinds[fd] = FileKind.cached;
    const claim = this.#claims.get(fd);
    this.#claims.delete(fd);
    await close(fd);
    await claim?.release();
  }

  async #describe(fd: number, options: OpenFileOptions): Promise<OpenedFile> {
    const medium = await describeMedium(fd, options.path);
    await this.#claim(fd, medium.identity, options);
    const sizeBytes = await fitSize(fd, medium, options);
    const isDirect = options.direct === true;
    return {
      file: fd,
      sizeBytes,
      isBlockDevice: medium.isBlockDevice,
      alignmentBytes: isDirect
        ? (directAlignment(fd, scratch.address, scratchView) ?? medium.logicalBlockBytes)
        : 1,
      logicalBlockBytes: medium.logicalBlockBytes,
      physicalBlockBytes: medium.physicalBlockBytes,
      canPunch: true,
      canZero: true,
      identity: medium.identity,
      bootId: await readBootId(),
      faultCount: countFaults(medium.identity),
    };
  }

  async #claim(fd: number, identity: string, options: OpenFileOptions): Promise<void> {
    if (options.glance === true) {
      if ((await askHolder(identity)) === null) return;
      throw await claimedError(identity, options.path);
    }
    const isExclusive = options.write && options.shared !== true;
    if (lockFile(fd, isExclusive) < 0) throw await claimedError(identity, options.path);
    if (!isExclusive) return;
    const holder = options.holder ?? "penstock";
    this.#claims.set(fd, await FileClaim.take(identity, options.path, holder));
  }
}

async function openFd(options: OpenFileOptions): Promise<number> {
  const { O_RDWR, O_RDONLY, O_CREAT, O_EXCL, O_DIRECT } = fs.constants;
  let flags = options.write ? O_RDWR : O_RDONLY;
  if (options.direct === true) flags |= O_DIRECT;
  const stat = await statOf(options.path);
  // Opening a pipe without a peer would never come back, and keep one of Node's few threads.
  if (stat?.isFIFO() === true) throw invalidFileError(options.path, "a pipe");
  const isDevice = stat?.isBlockDevice() === true;
  // O_EXCL without O_CREAT on a block device: refused while it is mounted or held elsewhere.
  if (isDevice && options.write && options.shared !== true) flags |= O_EXCL;
  else if (!isDevice && options.createSizeBytes !== undefined && options.write) flags |= O_CREAT;
  try {
    return await open(options.path, flags, 0o600);
  } catch (error) {
    const failure = failureOf(error);
    if (options.direct === true && failure.errno === Errno.EINVAL) {
      throw directUnsupportedError(options.path, "its file system has no direct I/O");
    }
    throw openFileError(options.path, failure);
  }
}

async function statOf(path: string): Promise<fs.Stats | null> {
  try {
    return await promisify(fs.stat)(path);
  } catch (_unknown) {
    // A path that cannot be looked at is opened all the same: that gives the error to report.
    return null;
  }
}
