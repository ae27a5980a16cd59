/**
 * Where the reservations of one namespace outlive the process, and the text that they are kept as.
 *
 * The text is JSON with a checksum and the namespace's identity, so that a torn file and another
 * namespace's are recognised: a reservation is never lost by mistake for "none".
 */

import { createHash } from "node:crypto";
import { PenstockError } from "../../util/errors.ts";
import { ReservationType } from "./constants.ts";
import { NO_RESERVATION, REGISTRANTS_MAX, type ReservationState } from "./reservation-rules.ts";

export interface ReservationStore {
  /**
   * @returns null when nothing was ever saved
   * @throws PenstockError `reservations-damaged` (torn, foreign), or of the system
   */
  load(): Promise<ReservationState | null>;
  /** Settles when the state is durable; a failure leaves the old state or the new one, whole. */
  save(state: ReservationState): Promise<void>;
}

/** Longest text that is read back: more than `REGISTRANTS_MAX` registrants need. */
export const RESERVATIONS_BYTES_MAX = 64 * 1024;

const FORMAT = "penstock-reservations";
const VERSION = 1;

/** @param namespace its UUID: only the same one takes the text back */
export function encodeReservations(state: ReservationState, namespace: string): string {
  const body = {
    format: FORMAT,
    version: VERSION,
    namespace,
    generation: state.generation,
    type: state.type,
    holder: state.holder,
    persists: state.persists,
    registrants: [...state.registrants].map(([host, key]) => [host, key.toString(16)]),
  };
  const text = JSON.stringify(body);
  return `${JSON.stringify({ body, sha256: checksum(text) }, null, 1)}\n`;
}

/** @throws PenstockError `reservations-damaged` */
export function decodeReservations(text: string, namespace: string): ReservationState {
  let file: Record<string, unknown>;
  try {
    file = recordOf(JSON.parse(text));
  } catch (cause) {
    throw damaged("it is no JSON text", cause);
  }
  const body = recordOf(file.body);
  if (body.format !== FORMAT) throw damaged("it does not hold reservations");
  if (file.sha256 !== checksum(JSON.stringify(body))) throw damaged("its checksum is wrong");
  if (body.version !== VERSION) throw damaged(`its version is ${String(body.version)}`);
  if (body.namespace !== namespace) {
    throw damaged(`it belongs to namespace ${String(body.namespace)}, not to ${namespace}`);
  }
  return stateOf(body);
}

function stateOf(body: Record<string, unknown>): ReservationState {
  const { generation, type, holder, persists, registrants: list } = body;
  const isPlain =
    Number.isSafeInteger(generation) &&
    Object.values(ReservationType).includes(type as ReservationType) &&
    typeof persists === "boolean" &&
    (holder === null || typeof holder === "string") &&
    Array.isArray(list) &&
    list.length <= REGISTRANTS_MAX;
  if (!isPlain) throw damaged("a field has a wrong value");
  const registrants = new Map<string, bigint>();
  for (const entry of list as unknown[]) {
    const [host, key] = Array.isArray(entry) ? (entry as unknown[]) : [];
    const isEntry =
      typeof host === "string" &&
      /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(host) &&
      typeof key === "string" &&
      /^[0-9a-f]{1,16}$/.test(key);
    if (!isEntry) throw damaged("a registrant has a wrong value");
    registrants.set(host, BigInt(`0x${key}`));
  }
  if (holder !== null && !registrants.has(holder as string)) {
    throw damaged("its holder is not registered");
  }
  return {
    ...NO_RESERVATION,
    generation: generation as number,
    type: type as ReservationType,
    holder: holder as string | null,
    persists: persists as boolean,
    registrants,
  };
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function checksum(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("hex");
}

function damaged(why: string, cause?: unknown): PenstockError {
  return new PenstockError({
    code: "reservations-damaged",
    message: `the stored reservations cannot be used: ${why}`,
    cause,
  });
}
