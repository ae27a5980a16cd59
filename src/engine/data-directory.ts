/**
 * DataDirectory: the folder that an engine keeps its state in, held by one engine at a time.
 *
 *   DIR/engine.lock     locked while an engine runs; says which one
 *   DIR/engine.sock     its RPC, unless another address was asked for
 *   DIR/engine.uuid     who it is to the pools on its disks
 *   DIR/pipes/          see PipeStore
 *   DIR/pools/          see pool-store.ts
 *
 * The lock is a lock on the file, where there is FFI, and a name in the abstract namespace
 * (FileClaim); both go with the process, whatever kills it. An engine that is on its way out says
 * so in the file, and the next one waits for it.
 */

import { existsSync, statSync } from "node:fs";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FileClaim } from "../reactor/file-claim.ts";
import { IoLevel } from "../reactor/io.ts";
import type { RealLevel } from "../reactor/level-capabilities.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";

const LOCK_FILE = "engine.lock";
const HOLDER_LENGTH_MAX = 1000;
const LOCK_TEXT_BYTES_MAX = 4096;
/** For an engine that is stopping: what it drains and flushes takes what it takes. */
const STOPPING_MS_MAX = 15_000;
/** For one that is dead: the kernel ends its rings, and so its lock, a little later. */
const DEAD_MS_MAX = 3000;
const STEP_MS = 20;
const STOPPING = ", stopping";
const HOLDER = /\(process (\d{1,9})(, stopping)?\)\n$/;
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const OTHERS_WRITE = 0o022;

export class DataDirectory {
  readonly path: string;
  readonly #lock: FileHandle;
  readonly #claim: FileClaim;
  readonly #holder: string;

  /**
   * Makes the folder if it is missing and takes it, from an engine that is stopping after a while.
   * @param holder who takes it, for the message that others get
   * @throws PenstockError `data-dir-in-use`, `permission-denied`, `data-dir-invalid`
   */
  static async take(path: string, taker: Taker): Promise<DataDirectory> {
    await makeDataFolder(path);
    const lock = await openLock(path);
    try {
      const claim = await waitFor(() => takeOnce(lock, path, taker), lock);
      const directory = new DataDirectory(path, { lock, claim, holder: taker.holder });
      await directory.#say("");
      return directory;
    } catch (thrown) {
      await lock.close();
      throw thrown;
    }
  }

  private constructor(
    path: string,
    parts: { readonly lock: FileHandle; readonly claim: FileClaim; readonly holder: string },
  ) {
    this.path = path;
    this.#lock = parts.lock;
    this.#claim = parts.claim;
    this.#holder = parts.holder;
  }

  /** Whoever may write there may have any file of this machine opened at the next start. */
  get isOpenToOthers(): boolean {
    return (statSync(this.path).mode & OTHERS_WRITE) !== 0;
  }

  /** Lets an engine that wants the folder wait for its release instead of giving up. */
  async announceStop(): Promise<void> {
    await this.#say(STOPPING);
  }

  async release(): Promise<void> {
    await this.#claim.release();
    await this.#lock.close();
  }

  /** For people: a full disk keeps nobody from serving what is on other disks. */
  async #say(state: string): Promise<void> {
    try {
      await this.#lock.truncate(0);
      const holder = this.#holder.slice(0, HOLDER_LENGTH_MAX);
      await this.#lock.write(`${holder} (process ${process.pid}${state})\n`, 0);
    } catch {
      // The lock holds without words.
    }
  }
}

interface Taker {
  readonly level: RealLevel;
  readonly holder: string;
}

async function takeOnce(lock: FileHandle, path: string, taker: Taker): Promise<FileClaim> {
  await lockFor(lock, path, taker.level);
  const { dev, ino } = statSync(path);
  return await claimFor(`engine-${dev}-${ino}`, path, taker.holder);
}

/** Tries again while the holder is stopping or dead, but not for ever. */
async function waitFor<T>(step: () => Promise<T>, lock: FileHandle): Promise<T> {
  for (let waitedMs = 0; ; waitedMs += STEP_MS) {
    try {
      return await step();
    } catch (thrown) {
      const { code } = toPenstockError(thrown);
      if (code !== "data-dir-in-use" || waitedMs >= patienceMs(await readHolder(lock))) {
        throw thrown;
      }
      await sleep(STEP_MS);
    }
  }
}

function patienceMs(holder: string): number {
  const found = HOLDER.exec(holder);
  if (found === null) return 0;
  if (found[2] !== undefined) return STOPPING_MS_MAX;
  try {
    process.kill(Number(found[1]), 0);
    return 0;
  } catch (thrown) {
    // In another container it may live all the same: then this is a short wait for nothing.
    return toPenstockError(thrown).code === "system-esrch" ? DEAD_MS_MAX : 0;
  }
}

async function readHolder(lock: FileHandle): Promise<string> {
  const buffer = Buffer.alloc(LOCK_TEXT_BYTES_MAX);
  const { bytesRead } = await lock.read(buffer, 0, buffer.length, 0);
  return buffer.subarray(0, bytesRead).toString("utf8");
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
  const holder = (await readHolder(lock)).trim();
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
