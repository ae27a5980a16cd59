/**
 * ReservationFileStore: the reservations of one namespace in one file, which is replaced as a
 * whole: after a crash there is the old state or the new one, and the new one once `save` has
 * settled.
 *
 * A file that is torn, or another namespace's, is an error and never "no reservations": the
 * namespace then refuses writes until somebody has looked (`NvmeReservations.trouble`).
 * In flight: one save at a time, which its namespace sees to.
 */

import { open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import {
  decodeReservations,
  encodeReservations,
  RESERVATIONS_BYTES_MAX,
  type ReservationStore,
} from "../proto/nvme/reservation-store.ts";
import type { ReservationState } from "../proto/nvme/reservation-rules.ts";
import { replaceFile } from "../reactor/replace-file.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";

/** Keys of hosts are nobody else's business. */
const FILE_MODE = 0o600;

export class ReservationFileStore implements ReservationStore {
  readonly #path: string;
  readonly #namespace: string;

  /**
   * @param path absolute; its folder exists
   * @param namespace its UUID: no other namespace takes the file
   */
  constructor(path: string, namespace: string) {
    this.#path = path;
    this.#namespace = namespace;
  }

  /** @throws PenstockError `reservations-damaged`, `reservations-failed` (as without a folder) */
  async load(): Promise<ReservationState | null> {
    const text = await this.#attempt(() => readText(this.#path));
    if (text === null) {
      // Nothing is saved yet: without its folder nothing ever could be.
      await this.#attempt(() => stat(dirname(this.#path)));
      return null;
    }
    return await this.#attempt(async () => decodeReservations(text, this.#namespace));
  }

  /** @throws PenstockError `reservations-failed`; then the old state or the new one is there */
  async save(state: ReservationState): Promise<void> {
    const text = encodeReservations(state, this.#namespace);
    await this.#attempt(() =>
      replaceFile({ path: this.#path, mode: FILE_MODE }, (file) => file.writeFile(text)),
    );
  }

  async #attempt<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (cause) {
      const { code, message } = toPenstockError(cause);
      const text = `${this.#path}: ${message}`;
      throw code === "reservations-damaged"
        ? new PenstockError({ code: "reservations-damaged", message: text, cause })
        : new PenstockError({ code: "reservations-failed", message: text, cause });
    }
  }
}

/** Null: there is no such file. */
async function readText(path: string): Promise<string | null> {
  const file = await openIfThere(path);
  if (file === null) return null;
  try {
    const bytes = Buffer.alloc(RESERVATIONS_BYTES_MAX + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length);
      length += bytesRead;
      if (bytesRead === 0 || length === bytes.length) break;
    }
    if (length > RESERVATIONS_BYTES_MAX) {
      throw new PenstockError({
        code: "reservations-damaged",
        message: `it has more than ${RESERVATIONS_BYTES_MAX} bytes`,
      });
    }
    return bytes.toString("utf8", 0, length);
  } finally {
    await file.close();
  }
}

async function openIfThere(path: string) {
  try {
    return await open(path, "r");
  } catch (thrown) {
    if (toPenstockError(thrown).code === "system-enoent") return null;
    throw thrown;
  }
}
