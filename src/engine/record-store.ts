/**
 * RecordStore: named records of an engine on disk, one file each, so that damage to one is damage
 * to one.
 *
 *   FOLDER/NAME.KIND    the record NAME; replaced as a whole: temporary file, fsync, rename, fsync
 *                       of the folder. A crash leaves the old one or the new one.
 *   FOLDER/NAME.ELSE    goes with the record, written by others; one of the format's `beside`
 *   FOLDER/.NAME.tmp    a replacement that a crash interrupted; removed at start
 *   anything else       is somebody else's: left alone, and named in `ignored`
 *
 * Format 1, text, so that a person can read it:
 *
 *   "penstock-KIND 1 LENGTH CRC\n"   LENGTH: bytes of the body, decimal; CRC: crc32 of the body,
 *                                    8 hexadecimal digits
 *   body                             JSON of the record, then "\n"
 *
 * `generation` counts the versions of a record from 1. Secrets stand in texts by reference only.
 * Calls for one name come one after the other; the registry sees to that.
 */

import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { removeFile, replaceFile, syncFolder } from "../reactor/replace-file.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";
import { isPipeName } from "./request-fields.ts";

/** What every record has. */
export interface StoredRecord {
  /** As a pipe's name. */
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly createdMs: number;
  readonly generation: number;
}

export interface RecordFormat<R extends StoredRecord> {
  /** "pipe": of the file's name and of its header. */
  readonly kind: string;
  /** Ends of names of other files that go with a record: ".reservations". */
  readonly beside: readonly string[];
  /** What is written of it. */
  bodyOf(record: R): object;
  /** @returns the first field that is not what it must be, or null */
  wrongFieldOf(value: unknown): string | null;
}

/** What a file held: a record, or why it does not. */
export interface RecordEntry<R> {
  readonly name: string;
  readonly record: R | null;
  /** `store-damaged` or `store-newer`; null with a record. */
  readonly problem: PenstockError | null;
}

export interface RecordContents<R> {
  readonly entries: readonly RecordEntry<R>[];
  /** Names of files that are none of ours. */
  readonly ignored: readonly string[];
}

const VERSION = 1;
const TEMPORARY = /^\..*\.tmp$/;
const HEADER = /^penstock-([a-z]+) (\d{1,9}) (\d{1,9}) ([0-9a-f]{8})$/;
const FILE_BYTES_MAX = 1024 * 1024;
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

export class RecordStore<R extends StoredRecord> {
  readonly #folder: string;
  readonly #format: RecordFormat<R>;
  readonly #suffix: string;

  /** Makes the folder if it is missing, and removes what a crash left half-done. */
  static async open<R extends StoredRecord>(
    folder: string,
    format: RecordFormat<R>,
  ): Promise<RecordStore<R>> {
    return await storing(folder, async () => {
      await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
      for (const file of await readdir(folder)) {
        if (TEMPORARY.test(file)) await removeFile(join(folder, file));
      }
      return new RecordStore(folder, format);
    });
  }

  private constructor(folder: string, format: RecordFormat<R>) {
    this.#folder = folder;
    this.#format = format;
    this.#suffix = `.${format.kind}`;
  }

  /**
   * All records, those made first first; damaged ones last.
   * @throws PenstockError `store-failed`: the folder cannot be read
   */
  async load(): Promise<RecordContents<R>> {
    return await storing(this.#folder, async () => {
      const files = (await readdir(this.#folder)).sort();
      const found = await Promise.all(files.map((file) => this.#read(file)));
      const entries = found.filter((entry) => entry !== null).sort(byAge);
      const isStrange = (file: string, index: number): boolean =>
        found[index] === null && !this.#format.beside.some((suffix) => file.endsWith(suffix));
      return { entries, ignored: files.filter(isStrange) };
    });
  }

  /** Durable when it settles. @throws PenstockError `store-failed`; then either version is there */
  async put(record: R): Promise<void> {
    const path = join(this.#folder, `${record.name}${this.#suffix}`);
    const temporary = join(this.#folder, `.${record.name}.tmp`);
    await storing(this.#folder, () =>
      replaceFile({ path, temporary, mode: FILE_MODE }, (file) =>
        file.writeFile(encodeStored(record, this.#format)),
      ),
    );
  }

  /** Durable when it settles. @throws PenstockError `store-failed` */
  async delete(name: string): Promise<void> {
    await storing(this.#folder, async () => {
      // First: the next record of this name must not find them.
      for (const suffix of this.#format.beside) {
        await rm(join(this.#folder, `${name}${suffix}`), { force: true });
      }
      await rm(join(this.#folder, `${name}${this.#suffix}`), { force: true });
      await syncFolder(this.#folder);
    });
  }

  /** Null when it is not ours to read. A record that has no end must hold no start up. */
  async #read(file: string): Promise<RecordEntry<R> | null> {
    const name = file.slice(0, -this.#suffix.length);
    const path = join(this.#folder, file);
    if (!file.endsWith(this.#suffix) || !isPipeName(name)) return null;
    try {
      const status = await stat(path);
      if (!status.isFile()) return null;
      if (status.size > FILE_BYTES_MAX) throw damaged(`found ${status.size} bytes, too many`);
      const record = decodeStored(await readFile(path), name, this.#format);
      return { name, record, problem: null };
    } catch (thrown) {
      const { code, message } = toPenstockError(thrown);
      const known = code === "store-newer" ? code : "store-damaged";
      const text = `${path}: ${message}`;
      return { name, record: null, problem: new PenstockError({ code: known, message: text }) };
    }
  }
}

export function encodeStored<R extends StoredRecord>(record: R, format: RecordFormat<R>): Buffer {
  const body = Buffer.from(`${JSON.stringify(format.bodyOf(record))}\n`);
  const header = `penstock-${format.kind} ${VERSION} ${body.length} ${crcOf(body)}\n`;
  return Buffer.concat([Buffer.from(header), body]);
}

/** @throws PenstockError `store-damaged`, `store-newer`; or a SyntaxError */
export function decodeStored<R extends StoredRecord>(
  bytes: Buffer,
  name: string,
  { kind, wrongFieldOf }: RecordFormat<R>,
): R {
  if (bytes.length > FILE_BYTES_MAX) throw damaged(`found ${bytes.length} bytes, too many`);
  const headerLength = bytes.indexOf("\n");
  const header = HEADER.exec(bytes.subarray(0, Math.max(headerLength, 0)).toString("latin1"));
  if (header === null || header[1] !== kind) {
    throw damaged(`found no header of a stored ${kind}`);
  }
  if (header[2] !== String(VERSION)) {
    throw new PenstockError({
      code: "store-newer",
      message: `found format ${header[2]}, expected ${VERSION}: a newer Penstock has written it`,
    });
  }
  const body = bytes.subarray(headerLength + 1);
  if (String(body.length) !== header[3]) {
    throw damaged(`found ${body.length} bytes, expected ${header[3]}: it is torn`);
  }
  if (crcOf(body) !== header[4]) {
    throw damaged(`found checksum ${crcOf(body)}, expected ${header[4]}`);
  }
  const found: unknown = JSON.parse(body.toString("utf8"));
  const wrong = wrongFieldOf(found);
  if (wrong !== null) throw damaged(`found a record whose ${wrong} is not what it must be`);
  const record = found as R;
  if (record.name !== name) throw damaged(`found ${kind} "${record.name}", expected "${name}"`);
  return record;
}

function crcOf(body: Buffer): string {
  return crc32(body).toString(16).padStart(8, "0");
}

function byAge<R extends StoredRecord>(a: RecordEntry<R>, b: RecordEntry<R>): number {
  const order = (a.record?.createdMs ?? Infinity) - (b.record?.createdMs ?? Infinity);
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
