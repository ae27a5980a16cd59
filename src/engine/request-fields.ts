/**
 * Checks of a request's fields before anything else looks at them. Each error names the field, what
 * was found and the limit. Pure.
 */

import { TEXT_BYTES_MAX } from "../pipe/limits.ts";
import { DISKS_MAX, VOLUME_BLOCKS_MAX, BLOCK_BYTES } from "../pool/pool-layout.ts";
import { CHECKSUM_KINDS, type ChecksumKind } from "../pool/volumes/block-checksum.ts";
import { PenstockError } from "../util/errors.ts";

const PIPE_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const PIPE_NAME_LENGTH_MAX = 63;
/** A label has 63 characters; a place in the deepest tree has fewer than this. */
const STAGE_ADDRESS_LENGTH_MAX = 128;
const TIMEOUT_MS_MIN = 1;
const TIMEOUT_MS_MAX = 60_000;
const SIZE_BYTES_MIN = 512;
/** Of a volume: some have been named elsewhere, by longer names than we take. */
const NAME_BYTES_MAX = 128;
const SNAPSHOT_NAME_BYTES_MAX = 256;
/** In one request. */
const NAMES_MAX = 1000;
const SECTOR_BYTES = 512;
const VOLUME_BYTES_MAX = VOLUME_BLOCKS_MAX * BLOCK_BYTES;
const MIB_PER_SECOND_MAX = 1_000_000;
const PERCENT_MIN = 1;
const PERCENT_MAX = 65_535;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const SHOWN_LENGTH_MAX = 64;

/** @throws PenstockError `field-missing`, `field-too-long`, `field-invalid` */
export function readPipeName(field: string, value: string): string {
  checkLength(field, value, PIPE_NAME_LENGTH_MAX, "characters");
  if (PIPE_NAME.test(value)) return value;
  const expected = 'expected a-z, 0-9 and, not in the first place, "-", "_" and "."';
  throw fieldError("field-invalid", field, `found ${shown(value)}, ${expected}`);
}

/** Also of files, which anybody may have put there. */
export function isPipeName(name: string): boolean {
  return PIPE_NAME.test(name);
}

/** A pipe's or a filter's text. @throws PenstockError `field-missing`, `field-too-long` */
export function readText(field: string, value: string): string {
  if (Buffer.byteLength(value) <= TEXT_BYTES_MAX && value !== "") return value;
  checkLength(field, value, TEXT_BYTES_MAX, "bytes");
  return value;
}

/** @throws PenstockError `field-missing`, `field-too-long` */
export function readStageAddress(field: string, value: string): string {
  checkLength(field, value, STAGE_ADDRESS_LENGTH_MAX, "characters");
  return value;
}

/** @throws PenstockError `field-out-of-range` */
export function readTimeoutMs(field: string, value: number): number {
  if (value >= TIMEOUT_MS_MIN && value <= TIMEOUT_MS_MAX) return value;
  const expected = `expected ${TIMEOUT_MS_MIN} to ${TIMEOUT_MS_MAX}`;
  throw fieldError("field-out-of-range", field, `found ${value}, ${expected}`);
}

/** @throws PenstockError `field-out-of-range` */
export function readSizeBytes(field: string, value: bigint): number {
  const size = Number(value);
  if (size >= SIZE_BYTES_MIN && size <= Number.MAX_SAFE_INTEGER) return size;
  const expected = `expected ${SIZE_BYTES_MIN} to ${Number.MAX_SAFE_INTEGER}`;
  throw fieldError("field-out-of-range", field, `found ${value}, ${expected}`);
}

/** Names or UUIDs of what there is. @throws PenstockError `field-missing`, `field-too-long` */
export function readName(field: string, value: string): string {
  checkLength(field, value, NAME_BYTES_MAX, "bytes");
  return value;
}

/** "volume@snapshot". @throws PenstockError `field-missing`, `field-too-long`, `field-invalid` */
export function readSnapshotName(field: string, value: string): string {
  checkLength(field, value, SNAPSHOT_NAME_BYTES_MAX, "bytes");
  if (/^[^@]+@[^@]+$/.test(value)) return value;
  throw fieldError("field-invalid", field, `found ${shown(value)}, expected VOLUME@SNAPSHOT`);
}

/** Of a replica or a snapshot. @throws PenstockError `field-missing`, `field-too-long` */
export function readVersionName(field: string, value: string): string {
  checkLength(field, value, SNAPSHOT_NAME_BYTES_MAX, "bytes");
  return value;
}

/** What follows the @ of a snapshot's name. @throws as `readName`; PenstockError `field-invalid` */
export function readSnapshotPart(field: string, value: string): string {
  checkLength(field, value, NAME_BYTES_MAX, "bytes");
  if (!value.includes("@")) return value;
  throw fieldError("field-invalid", field, `found ${shown(value)}, expected what follows the @`);
}

/** Bytes, as a number of blocks. @throws PenstockError `field-out-of-range`, `field-invalid` */
export function readBlockOffset(field: string, value: bigint): number {
  const offset = Number(value);
  if (offset > VOLUME_BYTES_MAX) {
    const expected = `expected at most ${VOLUME_BYTES_MAX}`;
    throw fieldError("field-out-of-range", field, `found ${value}, ${expected}`);
  }
  if (offset % BLOCK_BYTES === 0) return offset / BLOCK_BYTES;
  const expected = `expected a multiple of ${BLOCK_BYTES}`;
  throw fieldError("field-invalid", field, `found ${value}, ${expected}`);
}

/** Names of replicas and snapshots. @throws PenstockError `field-missing`, `field-too-long` */
export function readVersionNames(field: string, values: readonly string[]): readonly string[] {
  if (values.length > NAMES_MAX) {
    const message = `found ${values.length} names, expected at most ${NAMES_MAX}`;
    throw fieldError("field-too-long", field, message);
  }
  if (values.length === 0) checkLength(field, "", SNAPSHOT_NAME_BYTES_MAX, "bytes");
  return values.map((value) => readVersionName(field, value));
}

/** In lower case. @throws PenstockError `field-missing`, `field-too-long`, `field-invalid` */
export function readUuid(field: string, value: string): string {
  checkLength(field, value, NAME_BYTES_MAX, "bytes");
  const uuid = value.toLowerCase();
  if (UUID.test(uuid)) return uuid;
  const expected = "expected a UUID such as 01234567-89ab-cdef-0123-456789abcdef";
  throw fieldError("field-invalid", field, `found ${shown(value)}, ${expected}`);
}

/** Texts of a pool's disks. @throws PenstockError `field-missing`, `field-too-long` */
export function readDisks(field: string, values: readonly string[]): readonly string[] {
  if (values.length > DISKS_MAX) {
    const message = `found ${values.length} disks, expected at most ${DISKS_MAX}`;
    throw fieldError("field-too-long", field, message);
  }
  if (values.length === 0) checkLength(field, "", TEXT_BYTES_MAX, "bytes");
  return values.map((value) => readText(field, value));
}

/** @throws PenstockError `field-missing`, `field-too-long`, `field-invalid` */
export function readChecksum(field: string, value: string): Exclude<ChecksumKind, "none"> {
  checkLength(field, value, NAME_BYTES_MAX, "bytes");
  const kinds = CHECKSUM_KINDS.filter((kind) => kind !== "none");
  const found = kinds.find((kind) => kind === value);
  if (found !== undefined) return found;
  const expected = `expected one of ${kinds.join(", ")}`;
  throw fieldError("field-invalid", field, `found ${shown(value)}, ${expected}`);
}

/** @throws PenstockError `field-out-of-range` */
export function readPercent(field: string, value: number): number {
  if (value >= PERCENT_MIN && value <= PERCENT_MAX) return value;
  const expected = `expected ${PERCENT_MIN} to ${PERCENT_MAX}`;
  throw fieldError("field-out-of-range", field, `found ${value}, ${expected}`);
}

/** Percent of what there is. @throws PenstockError `field-out-of-range` */
export function readThreshold(field: string, value: number): number {
  if (value >= 1 && value <= 100) return value;
  throw fieldError("field-out-of-range", field, `found ${value}, expected 1 to 100`);
}

/** MiB per second. @throws PenstockError `field-out-of-range` */
export function readRate(field: string, value: number): number {
  if (value >= 1 && value <= MIB_PER_SECOND_MAX) return value;
  const expected = `expected 1 to ${MIB_PER_SECOND_MAX}`;
  throw fieldError("field-out-of-range", field, `found ${value}, ${expected}`);
}

/** @throws PenstockError `field-out-of-range`, `field-invalid` */
export function readVolumeSize(field: string, value: bigint): number {
  const size = Number(value);
  if (size < SECTOR_BYTES || size > VOLUME_BYTES_MAX) {
    const expected = `expected ${SECTOR_BYTES} to ${VOLUME_BYTES_MAX}`;
    throw fieldError("field-out-of-range", field, `found ${value}, ${expected}`);
  }
  if (size % SECTOR_BYTES === 0) return size;
  const expected = `expected a multiple of ${SECTOR_BYTES}`;
  throw fieldError("field-invalid", field, `found ${value}, ${expected}`);
}

function checkLength(
  field: string,
  value: string,
  max: number,
  unit: "characters" | "bytes",
): void {
  if (value === "") throw fieldError("field-missing", field, "found nothing, expected a value");
  const length = unit === "bytes" ? Buffer.byteLength(value) : value.length;
  if (length <= max) return;
  const message = `found ${length} ${unit}, expected at most ${max}`;
  throw fieldError("field-too-long", field, message);
}

function fieldError(code: string, field: string, message: string): PenstockError {
  return new PenstockError({ code, message: `${field}: ${message}`, details: { field } });
}

function shown(value: string): string {
  return value.length > SHOWN_LENGTH_MAX
    ? `${JSON.stringify(value.slice(0, SHOWN_LENGTH_MAX))}...`
    : JSON.stringify(value);
}
