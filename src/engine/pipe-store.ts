/**
 * PipeStore: the pipes of an engine on disk, one file each, so that damage to one is damage to one.
 *
 *   FOLDER/NAME.pipe    the pipe NAME; replaced as a whole: temporary file, fsync, rename, fsync of
 *                       the folder. A crash leaves the old one or the new one.
 *   FOLDER/NAME.reservations   what hosts have reserved of its namespace; written by its share, goes
 *                       with the pipe
 *   FOLDER/.NAME.tmp    a replacement that a crash interrupted; removed at start
 *   anything else       is somebody else's: left alone, and named in `ignored`
 *
 * Format 1, text, so that a person can read it:
 *
 *   "penstock-pipe 1 LENGTH CRC\n"   LENGTH: bytes of the body, decimal; CRC: crc32 of the body,
 *                                    8 hexadecimal digits
 *   body                             JSON {name, text, createdMs, generation, port?, outLegs?,
 *                                    hostSeed?}, then "\n"
 *
 * `generation` counts the versions of a pipe from 1. Secrets stand in texts by reference only.
 * Calls for one name come one after the other; the registry sees to that.
 */

import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { OutLeg } from "../pipe/stage-plan.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";
import { removeFile, replaceFile, syncFolder } from "../reactor/replace-file.ts";
import { isPipeName } from "./request-fields.ts";
import { wrongFieldOf } from "./stored-fields.ts";

export interface StoredPipe {
  readonly name: string;
  /** Canonical. */
  readonly text: string;
  /** Milliseconds since 1970. */
  readonly createdMs: number;
  readonly generation: number;
  /** Of the share, over TCP; taken again where the text leaves it open. */
  readonly port?: number;
  /** Legs that were taken out of their mirrors: they lack what was written since. */
  readonly outLegs?: readonly OutLeg[];
  /** UUID: servers know the pipe's sources by it. */
  readonly hostSeed?: string;
}

export interface StoreContents {
  readonly entries: readonly StoreEntry[];
  /** Names of files that are none of ours. */
  readonly ignored: readonly string[];
}

/** What a file held: a pipe, or why it does not. */
export interface StoreEntry {
  readonly name: string;
  readonly pipe: StoredPipe | null;
  /** `store-damaged` or `store-newer`; null with a pipe. */
  readonly problem: PenstockError | null;
}

const MAGIC = "penstock-pipe";
const VERSION = 1;
const SUFFIX = ".pipe";
const RESERVATIONS_SUFFIX = ".reservations";
const TEMPORARY = /^\..*\.tmp$/;
const HEADER = /^penstock-pipe (\d{1,9}) (\d{1,9}) ([0-9a-f]{8})$/;
const FILE_BYTES_MAX = 1024 * 1024;
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

export class PipeStore {
  readonly #folder: string;

  /** Makes the folder if it is missing, and removes what a crash left half-done. */
  static async open(folder: string): Promise<PipeStore> {
    return await storing(folder, async () => {
      await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
      for (const file of await readdir(folder)) {
        if (TEMPORARY.test(file)) await removeFile(join(folder, file));
      }
      return new PipeStore(folder);
    });
  }

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * All pipes, those made first first; damaged ones last.
   * @throws PenstockError `store-failed`: the folder cannot be read
   */
  async load(): Promise<StoreContents> {
    return await storing(this.#folder, async () => {
      const files = (await readdir(this.#folder)).sort();
      const found = await Promise.all(files.map((file) => this.#read(file)));
      const entries = found.filter((entry) => entry !== null).sort(byAge);
      const isStrange = (file: string, index: number): boolean =>
        found[index] === null && !file.endsWith(RESERVATIONS_SUFFIX);
      return { entries, ignored: files.filter(isStrange) };
    });
  }

  /** Durable when it settles. @throws PenstockError `store-failed`; then either version is there */
  async put(pipe: StoredPipe): Promise<void> {
    const path = join(this.#folder, `${pipe.name}${SUFFIX}`);
    const temporary = join(this.#folder, `.${pipe.name}.tmp`);
    await storing(this.#folder, () =>
      replaceFile({ path, temporary, mode: FILE_MODE }, (file) =>
        file.writeFile(encodeRecord(pipe)),
      ),
    );
  }

  /** Where the share of a pipe keeps what hosts have reserved. Absolute, if the folder is. */
  reservationsPath(name: string): string {
    return join(this.#folder, `${name}${RESERVATIONS_SUFFIX}`);
  }

  /** Durable when it settles. @throws PenstockError `store-failed` */
  async delete(name: string): Promise<void> {
    await storing(this.#folder, async () => {
      // First: the next pipe of this name must not find them.
      await rm(this.reservationsPath(name), { force: true });
      await rm(join(this.#folder, `${name}${SUFFIX}`), { force: true });
      await syncFolder(this.#folder);
    });
  }

  /** Null when it is not ours to read. A pipe that has no end must hold no start up. */
  async #read(file: string): Promise<StoreEntry | null> {
    const name = file.slice(0, -SUFFIX.length);
    const path = join(this.#folder, file);
    if (!file.endsWith(SUFFIX) || !isPipeName(name)) return null;
    try {
      const status = await stat(path);
      if (!status.isFile()) return null;
      if (status.size > FILE_BYTES_MAX) throw damaged(`found ${status.size} bytes, too many`);
      const bytes = await readFile(path);
      return { name, pipe: decodeRecord(bytes, name), problem: null };
    } catch (thrown) {
      const { code, message } = toPenstockError(thrown);
      const known = code === "store-newer" ? code : "store-damaged";
      const text = `${path}: ${message}`;
      return { name, pipe: null, problem: new PenstockError({ code: known, message: text }) };
    }
  }
}

export function encodeRecord(pipe: StoredPipe): Buffer {
  const { name, text, createdMs, generation, port, outLegs, hostSeed } = pipe;
  const stored = { name, text, createdMs, generation, port, outLegs, hostSeed };
  const body = Buffer.from(`${JSON.stringify(stored)}\n`);
  return Buffer.concat([Buffer.from(`${MAGIC} ${VERSION} ${body.length} ${crcOf(body)}\n`), body]);
}

/** @throws PenstockError `store-damaged`, `store-newer`; or a SyntaxError */
export function decodeRecord(bytes: Buffer, name: string): StoredPipe {
  if (bytes.length > FILE_BYTES_MAX) throw damaged(`found ${bytes.length} bytes, too many`);
  const headerLength = bytes.indexOf("\n");
  const header = HEADER.exec(bytes.subarray(0, Math.max(headerLength, 0)).toString("latin1"));
  if (header === null) throw damaged("found no header of a stored pipe");
  if (header[1] !== String(VERSION)) {
    throw new PenstockError({
      code: "store-newer",
      message: `found format ${header[1]}, expected ${VERSION}: a newer Penstock has written it`,
    });
  }
  const body = bytes.subarray(headerLength + 1);
  if (String(body.length) !== header[2]) {
    throw damaged(`found ${body.length} bytes, expected ${header[2]}: it is torn`);
  }
  if (crcOf(body) !== header[3]) {
    throw damaged(`found checksum ${crcOf(body)}, expected ${header[3]}`);
  }
  const found: unknown = JSON.parse(body.toString("utf8"));
  const wrong = wrongFieldOf(found);
  if (wrong !== null) throw damaged(`found a record whose ${wrong} is not what it must be`);
  const pipe = found as StoredPipe;
  if (pipe.name !== name) throw damaged(`found pipe "${pipe.name}", expected "${name}"`);
  return pipe;
}

function crcOf(body: Buffer): string {
  return crc32(body).toString(16).padStart(8, "0");
}

function byAge(a: StoreEntry, b: StoreEntry): number {
  const order = (a.pipe?.createdMs ?? Infinity) - (b.pipe?.createdMs ?? Infinity);
  return order === 0 || Number.isNaN(order) ? (a.name < b.name ? -1 : 1) : order;
}

async function storing<T>(folder: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (thrown) {
    const { message, retryable } = toPenstockError(thrown);
    throw new PenstockError({
      code: "store-failed",
      message: `${folder} cannot be used: ${message}`,
      retryable,
      cause: thrown,
    });
  }
}

function damaged(message: string): PenstockError {
  return new PenstockError({ code: "store-damaged", message });
}
