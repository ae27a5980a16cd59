/**
 * SMART / health information (LID 02h), 512 bytes. Stateless.
 *
 * Counters are 128 bits on the wire; here they are doubles, as nothing counts beyond 2^53 - 1.
 *
 * spec: Base 2.0 5.16.1.3, figure 207
 */

import { decodeFields, encodeFields, type Field, viewOf } from "./wire.ts";

export const SMART_BYTES = 512;

export interface SmartLog {
  /** Bits: 0 spare, 1 temperature, 2 reliability, 3 read-only media, 4 volatile backup. */
  readonly criticalWarning: number;
  /** Kelvin. */
  readonly temperature: number;
  /** Percent. */
  readonly availableSpare: number;
  readonly availableSpareThreshold: number;
  readonly percentageUsed: number;
  /** In thousands of 512 bytes, rounded up. */
  readonly dataUnitsRead: number;
  readonly dataUnitsWritten: number;
  readonly hostReadCommands: number;
  readonly hostWriteCommands: number;
  /** Minutes. */
  readonly controllerBusyTime: number;
  readonly powerCycles: number;
  readonly powerOnHours: number;
  readonly unsafeShutdowns: number;
  readonly mediaErrors: number;
  /** Error log entries over the controller's life. */
  readonly errorLogEntries: number;
}

const FIELDS: Readonly<Record<keyof SmartLog, Field>> = {
  criticalWarning: [0, 1],
  temperature: [1, 2],
  availableSpare: [3, 1],
  availableSpareThreshold: [4, 1],
  percentageUsed: [5, 1],
  dataUnitsRead: [32, 8],
  dataUnitsWritten: [48, 8],
  hostReadCommands: [64, 8],
  hostWriteCommands: [80, 8],
  controllerBusyTime: [96, 8],
  powerCycles: [112, 8],
  powerOnHours: [128, 8],
  unsafeShutdowns: [144, 8],
  mediaErrors: [160, 8],
  errorLogEntries: [176, 8],
};

export function encodeSmartLog(log: SmartLog): Uint8Array {
  const bytes = new Uint8Array(SMART_BYTES);
  encodeFields(viewOf(bytes), FIELDS, log);
  return bytes;
}

/** Null when there are fewer than 512 bytes. */
export function decodeSmartLog(bytes: Uint8Array): SmartLog | null {
  return bytes.length < SMART_BYTES ? null : decodeFields(viewOf(bytes), FIELDS);
}

/** Data units of so many bytes. */
export function dataUnitsOf(bytes: number): number {
  return Math.ceil(bytes / 512_000);
}
