/**
 * DataDirectory: the folder that an engine keeps its state in, held by one engine at a time.
 *
 *   DIR/engine.lock     locked while an engine runs; says which one
 *   DIR/engine.sock     its RPC, unless another address was asked for
 *   DIR/pipes/          see PipeStore
 *
 * The lock is a lock on the file, where there is FFI, and a name in the abstract namespace
 * (FileClaim); both go with the process, whatever kills it.
 */

import { existsSync, statSync } from "node:fs";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { FileClaim } from "../reactor/file-claim.ts";
import { IoLevel } from "../reactor/io.ts";
import type { RealLevel } from "../reactor/level-capabilities.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";

const LOCK_FILE = "engine.lock";
const LOCK_TEXT_BYTES_MAX = 512;
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

export class DataDirectory {
  readonly path: string;
  readonly #lock: FileHandle;
  readonly #claim: FileClaim;

  /**
   * Makes the folder if it is missing and takes it.
   * @param holder who takes it, for the message that others get
   * @throws PenstockError `data-dir-in-use`, `permission-denied`, `data-dir-invalid`
   */
  static async take(
    path: string,
    { level, holder }: { readonly level: RealLevel; readonly holder: string },
  ): Promise<DataDirectory> {
    await makeDataFolder(path);
    const lock = await openLock(path);
    try {
      await lockFor(lock, path, level);
      const { dev, ino } = statSync(path);
      const claim = await claimFor(`engine-${dev}-${ino}`, path, holder);
      await lock.truncate(0);
      await lock.write(`${holder} (process ${process.pid})\n`, 0);
      return new DataDirectory(path, lock, claim);
    } catch (thrown) {
      await lock.close();
      throw thrown;
    }
  }

  private constructor(path: string, lock: FileHandle, claim: FileClaim) {
    this.path = path;
    this.#lock = lock;
    this.#claim = claim;
  }

  async release(): Promise<void> {
    await this.#claim.release();
    await this.#lock.close();
  }
}

/** @throws PenstockError `permission-denied`, `data-dir-invalid` */
export async function makeDataFolder(path: string): Promise<void> {
  try {
    await makeFolders(path);
  } catch (thrown) {
    throw folderError(path, thrown, "made");
  }
}

/** By hand: mkdir's own `recursive` never ends below a folder that takes nothing (/proc). */
async function makeFolders(folder: string): Promise<void> {
  const parent = dirname(folder);
  if (parent !== folder && !existsSync(parent)) await makeFolders(parent);
  if (existsSync(folder) && statSync(folder).isDirectory()) return;
  await mkdir(folder, { mode: FOLDER_MODE });
}

async function openLock(path: string): Promise<FileHandle> {
  try {
    return await open(join(path, LOCK_FILE), "a+", FILE_MODE);
  } catch (thrown) {
    throw folderError(path, thrown, "used");
  }
}

/** Reaches further than a name: other network namespaces, such as containers with this folder. */
async function lockFor(lock: FileHandle, path: string, level: RealLevel): Promise<void> {
  if (level === IoLevel.portable) return;
  const { lockFile } = await import("../sys/file-lock.ts");
  if (lockFile(lock.fd, true) === 0) return;
  const buffer = Buffer.alloc(LOCK_TEXT_BYTES_MAX);
  const { bytesRead } = await lock.read(buffer, 0, buffer.length, 0);
  const holder = buffer.subarray(0, bytesRead).toString("utf8").trim();
  throw inUse(path, holder === "" ? "another engine" : holder);
}

async function claimFor(identity: string, path: string, holder: string): Promise<FileClaim> {
  try {
    return await FileClaim.take(identity, path, holder);
  } catch (thrown) {
    const { details } = toPenstockError(thrown);
    throw inUse(path, typeof details.holder === "string" ? details.holder : "another engine");
  }
}

function inUse(path: string, holder: string): PenstockError {
  return new PenstockError({
    code: "data-dir-in-use",
    message: `the data directory ${path} is in use by ${holder}`,
    retryable: true,
    details: { path, holder },
  });
}

function folderError(path: string, thrown: unknown, what: string): PenstockError {
  const { code, message } = toPenstockError(thrown);
  const isDenied = code === "system-eacces" || code === "system-eperm";
  return new PenstockError({
    code: isDenied ? "permission-denied" : "data-dir-invalid",
    message: `the data directory ${path} cannot be ${what} (${message})`,
  });
}
