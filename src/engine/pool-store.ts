/**
 * What an engine keeps of its pools, as RecordStore keeps it: FOLDER/NAME.pool says which disks
 * make the pool NAME. All else is on the disks.
 */

import { type RecordFormat, RecordStore, type StoredRecord } from "./record-store.ts";
import { isText, orAbsent, RECORD_FIELDS, wrongField } from "./stored-fields.ts";

export interface StoredPool extends StoredRecord {
  /** Canonical texts of sources, in the order in which they were given. */
  readonly disks: readonly string[];
  /** One that is being added: whether it is the pool's, its label tells. */
  readonly adding?: string;
  /** The pool's own: disks that hold another pool by now are not taken for it. */
  readonly uuid: string;
  /** UUID: servers know the pool's disks by it. */
  readonly hostSeed?: string;
}

export const POOL_FORMAT: RecordFormat<StoredPool> = {
  kind: "pool",
  beside: [],
  bodyOf: ({ name, createdMs, generation, disks, adding, uuid, hostSeed }) => ({
    ...{ name, createdMs, generation, disks, adding, uuid, hostSeed },
  }),
  wrongFieldOf: (value) =>
    wrongField(value, {
      ...RECORD_FIELDS,
      disks: (disks) => Array.isArray(disks) && disks.length > 0 && disks.every(isText),
      adding: orAbsent(isText),
      uuid: isText,
      hostSeed: orAbsent(isText),
    }),
};

export function openPoolStore(folder: string): Promise<RecordStore<StoredPool>> {
  return RecordStore.open(folder, POOL_FORMAT);
}
