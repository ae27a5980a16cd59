/**
 * PipeStore: the pipes of an engine on disk, as RecordStore keeps them: FOLDER/NAME.pipe.
 *
 *   FOLDER/NAME.reservations   what hosts have reserved of its namespace; written by its share,
 *                       goes with the pipe
 */

import { join } from "node:path";
import type { OutLeg } from "../pipe/stage-plan.ts";
import type { PenstockError } from "../util/errors.ts";
import {
  decodeStored,
  encodeStored,
  type RecordFormat,
  RecordStore,
  type StoredRecord,
} from "./record-store.ts";
import { wrongFieldOf } from "./stored-fields.ts";

export interface StoredPipe extends StoredRecord {
  /** Canonical. */
  readonly text: string;
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

const RESERVATIONS_SUFFIX = ".reservations";

const FORMAT: RecordFormat<StoredPipe> = {
  kind: "pipe",
  beside: [RESERVATIONS_SUFFIX],
  bodyOf: ({ name, text, createdMs, generation, port, outLegs, hostSeed }) => ({
    ...{ name, text, createdMs, generation, port, outLegs, hostSeed },
  }),
  wrongFieldOf,
};

export class PipeStore {
  readonly #folder: string;
  readonly #records: RecordStore<StoredPipe>;

  /** Makes the folder if it is missing, and removes what a crash left half-done. */
  static async open(folder: string): Promise<PipeStore> {
    return new PipeStore(folder, await RecordStore.open(folder, FORMAT));
  }

  private constructor(folder: string, records: RecordStore<StoredPipe>) {
    this.#folder = folder;
    this.#records = records;
  }

  /**
   * All pipes, those made first first; damaged ones last.
   * @throws PenstockError `store-failed`: the folder cannot be read
   */
  async load(): Promise<StoreContents> {
    const { entries, ignored } = await this.#records.load();
    const pipes = entries.map(({ name, record, problem }) => ({ name, pipe: record, problem }));
    return { entries: pipes, ignored };
  }

  /** Durable when it settles. @throws PenstockError `store-failed`; then either version is there */
  put(pipe: StoredPipe): Promise<void> {
    return this.#records.put(pipe);
  }

  /** Where the share of a pipe keeps what hosts have reserved. Absolute, if the folder is. */
  reservationsPath(name: string): string {
    return join(this.#folder, `${name}${RESERVATIONS_SUFFIX}`);
  }

  /** Durable when it settles. @throws PenstockError `store-failed` */
  delete(name: string): Promise<void> {
    return this.#records.delete(name);
  }
}

export function encodeRecord(pipe: StoredPipe): Buffer {
  return encodeStored(pipe, FORMAT);
}

/** @throws PenstockError `store-damaged`, `store-newer`; or a SyntaxError */
export function decodeRecord(bytes: Buffer, name: string): StoredPipe {
  return decodeStored(bytes, name, FORMAT);
}
