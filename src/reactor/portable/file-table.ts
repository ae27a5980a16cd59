/**
 * FileTable: the open files of one portable Io, and their claims.
 *
 * Owns the fds. Handles are indexes of the table, not fds, so that a handle used after close is
 * noticed and never meets a stranger's file. Writers claim by `FileClaim`, against other processes
 * too; readers are known within this process only, since Node has no file locks.
 */

import fs from "node:fs";
import { promisify } from "node:util";

import { assert } from "../../util/assert.ts";
import { countFaults } from "../fault-marks.ts";
import { askHolder, claimedError, FileClaim } from "../file-claim.ts";
import { directUnsupportedError, failureOf, openFileError } from "../io-errors.ts";
import type { FileHandle, OpenedFile, OpenFileOptions } from "../io.ts";
import { describeMedium, fitSize, type Medium, readBootId } from "../medium.ts";

const open = promisify(fs.open);
const close = promisify(fs.close);
const stat = promisify(fs.stat);
const unlink = promisify(fs.unlink);

const { O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR } = fs.constants;
/** Volumes hold other people's data: nobody else needs to read them. */
const CREATE_MODE = 0o600;

/** Readers in this process, of all its Ios, by identity. */
const readerCounts = new Map<string, number>();

interface Claim {
  release(): Promise<void>;
}

export interface OpenFile {
  readonly fd: number;
  readonly claim: Claim;
  /** Operations in flight. */
  inFlight: number;
}

export class FileTable {
  readonly #files: (OpenFile | null)[] = [];
  readonly #free: FileHandle[] = [];

  async open(options: OpenFileOptions): Promise<OpenedFile> {
    const { path } = options;
    if (options.direct === true) {
      throw directUnsupportedError(path, "the portable level has none, open it buffered");
    }
    const { fd, created } = await openOrCreate(options);
    let claim: Claim | null = null;
    try {
      const medium = await describeMedium(fd, path);
      claim = await takeClaim(medium, options);
      const sizeBytes = await fitSize(fd, medium, options);
      const file = this.#add({ fd, claim, inFlight: 0 });
      return openedFile(file, { ...medium, sizeBytes }, await readBootId());
    } catch (error) {
      await claim?.release();
      await close(fd);
      // Only our own creation is taken back, so that a failed start leaves nothing behind.
      if (created) await unlink(path);
      throw error;
    }
  }

  async close(handle: FileHandle): Promise<void> {
    const file = this.get(handle);
    assert(file.inFlight === 0, "a file is closed with nothing in flight");
    this.#files[handle] = null;
    this.#free.push(handle);
    await file.claim.release();
    await close(file.fd);
  }

  /** Closes what was left open. */
  async closeAll(): Promise<void> {
    const handles = this.#files.flatMap((file, handle) => (file === null ? [] : [handle]));
    await Promise.all(handles.map((handle) => this.close(handle)));
  }

  // hot path
  get(handle: FileHandle): OpenFile {
    const file = this.#files[handle];
    assert(file !== null && file !== undefined, "a file handle names an open file");
    return file;
  }

  #add(file: OpenFile): FileHandle {
    const handle = this.#free.pop() ?? this.#files.length;
    this.#files[handle] = file;
    return handle;
  }
}

function openedFile(file: FileHandle, medium: Medium, bootId: string): OpenedFile {
  const faultCount = countFaults(medium.identity);
  const level = { alignmentBytes: 1, canPunch: false, canZero: false };
  return { file, ...medium, ...level, bootId, faultCount };
}

async function openOrCreate(options: OpenFileOptions): Promise<{ fd: number; created: boolean }> {
  const { path, write, createSizeBytes } = options;
  try {
    // Without O_NONBLOCK opening a pipe without a peer would never come back.
    const flags = (write ? O_RDWR : O_RDONLY) | O_NONBLOCK;
    const isExclusive = write && options.shared !== true && (await isBlockDevice(path));
    try {
      // O_EXCL without O_CREAT on a block device: refused while mounted or held by another.
      return { fd: await open(path, isExclusive ? flags | O_EXCL : flags), created: false };
    } catch (error) {
      if (!write || createSizeBytes === undefined || !isMissing(error)) throw error;
    }
    return { fd: await open(path, flags | O_CREAT | O_EXCL, CREATE_MODE), created: true };
  } catch (error) {
    throw openFileError(path, failureOf(error));
  }
}

async function takeClaim(medium: Medium, options: OpenFileOptions): Promise<Claim> {
  const { identity } = medium;
  if (options.write && options.shared !== true) {
    if (readerCounts.has(identity)) throw await claimedError(identity, options.path);
    return FileClaim.take(identity, options.path, options.holder ?? "penstock");
  }
  const claim = options.glance === true ? NO_CLAIM : new ReaderClaim(identity);
  if ((await askHolder(identity)) === null) return claim;
  await claim.release();
  throw await claimedError(identity, options.path);
}

const NO_CLAIM: Claim = { release: () => Promise.resolve() };

/** Keeps writers of this process away. */
class ReaderClaim implements Claim {
  readonly #identity: string;

  constructor(identity: string) {
    this.#identity = identity;
    readerCounts.set(identity, (readerCounts.get(identity) ?? 0) + 1);
  }

  async release(): Promise<void> {
    const count = readerCounts.get(this.#identity) ?? 0;
    if (count > 1) readerCounts.set(this.#identity, count - 1);
    else readerCounts.delete(this.#identity);
  }
}

async function isBlockDevice(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isBlockDevice();
  } catch (_opensWithTheError) {
    return false;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
