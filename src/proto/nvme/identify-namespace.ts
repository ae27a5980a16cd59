/**
 * Identify Namespace: the NVM command set's (CNS 00h) and the one of all command sets (CNS 08h),
 * in the specification's own field names.
 *
 * Stateless; off the hot path. Metadata and protection information are not supported: their fields
 * are zero. The NVM command set's extension (CNS 05h) is about them only: 4,096 zeroes.
 *
 * spec: NVM Command Set 1.0 figures 97, 100; Base 2.0 figure 280
 */

import { IDENTIFY_BYTES } from "./constants.ts";
import { decodeFields, encodeFields, type Field, getHex, setHex, viewOf } from "./wire.ts";

/** NSFEAT bits. */
export const Nsfeat = {
  thinProvisioning: 1 << 0,
  /** NAWUN, NAWUPF and NACWU count, instead of the controller's. */
  atomicUnits: 1 << 1,
  deallocatedError: 1 << 2,
  idsNeverReused: 1 << 3,
  /** NPWG, NPWA, NPDG, NPDA and NOWS count. */
  preferredSizes: 1 << 4,
} as const;

/** NMIC bits. */
export const Nmic = { shared: 1 } as const;

/** RESCAP bits. */
export const Rescap = {
  persistThroughPowerLoss: 1 << 0,
  writeExclusive: 1 << 1,
  exclusiveAccess: 1 << 2,
  writeExclusiveRegistrants: 1 << 3,
  exclusiveAccessRegistrants: 1 << 4,
  writeExclusiveAll: 1 << 5,
  exclusiveAccessAll: 1 << 6,
  /** IEKEY as version 1.3 and later of the specification define it. */
  ignoreExistingKey: 1 << 7,
} as const;

/** DLFEAT: what a deallocated block reads as (bits 0-2), and Write Zeroes' DEAC (bit 3). */
export const Dlfeat = { readsZeroes: 1, writeZeroesDeallocates: 1 << 3 } as const;

/** NSATTR bits. */
export const Nsattr = { writeProtected: 1 } as const;

/** NSFEAT bits of CNS 08h, which are not those of CNS 00h. spec: Base 2.1 figure 320 */
export const IndependentNsfeat = {
  /** VWCNP: VWC of the controller does not count; this namespace has no volatile write cache. */
  noVolatileCache: 1 << 5,
} as const;

/** NSTAT bits, CNS 08h. */
export const Nstat = { ready: 1 } as const;

/** One of the formats a namespace may have. */
export interface LbaFormat {
  /** MS: metadata bytes of a block. */
  readonly ms: number;
  /** LBADS: a block has 2^n bytes. */
  readonly lbads: number;
  /** RP: relative performance, 0 is best. */
  readonly rp: number;
}

type NumberName =
  | "nsze"
  | "ncap"
  | "nuse"
  | "nsfeat"
  | "flbas"
  | "nmic"
  | "rescap"
  | "fpi"
  | "dlfeat"
  | "nawun"
  | "nawupf"
  | "nacwu"
  | "nabsn"
  | "nabo"
  | "nabspf"
  | "noiob"
  | "nvmcap"
  | "npwg"
  | "npwa"
  | "npdg"
  | "npda"
  | "nows"
  | "mssrl"
  | "mcl"
  | "msrc"
  | "anagrpid"
  | "nsattr"
  | "nvmsetid"
  | "endgid";

const FIELDS: Readonly<Record<NumberName, Field>> = {
  nsze: [0, 8],
  ncap: [8, 8],
  nuse: [16, 8],
  nsfeat: [24, 1],
  flbas: [26, 1],
  nmic: [30, 1],
  rescap: [31, 1],
  fpi: [32, 1],
  dlfeat: [33, 1],
  nawun: [34, 2],
  nawupf: [36, 2],
  nacwu: [38, 2],
  nabsn: [40, 2],
  nabo: [42, 2],
  nabspf: [44, 2],
  noiob: [46, 2],
  nvmcap: [48, 8],
  npwg: [64, 2],
  npwa: [66, 2],
  npdg: [68, 2],
  npda: [70, 2],
  nows: [72, 2],
  mssrl: [74, 2],
  mcl: [76, 4],
  msrc: [80, 1],
  anagrpid: [92, 4],
  nsattr: [99, 1],
  nvmsetid: [100, 2],
  endgid: [102, 2],
};

const NLBAF_AT = 25;
const NGUID_AT = 104;
const EUI64_AT = 120;
const LBAF_AT = 128;
const LBAF_MAX = 64;

export interface IdentifyNamespace {
  /** Size, capacity and utilisation in blocks. */
  readonly nsze: number;
  readonly ncap: number;
  readonly nuse: number;
  /** `Nsfeat` bits. */
  readonly nsfeat: number;
  /** Which of `lbaFormats` it has: bits 0-3, and 5-6 above them. */
  readonly flbas: number;
  /** `Nmic` bits. */
  readonly nmic: number;
  /** `Rescap` bits. */
  readonly rescap: number;
  readonly fpi: number;
  /** `Dlfeat` bits. */
  readonly dlfeat: number;
  /** Atomic units, in blocks, 0-based: of a write, after power failure, of compare and write. */
  readonly nawun: number;
  readonly nawupf: number;
  readonly nacwu: number;
  readonly nabsn: number;
  readonly nabo: number;
  readonly nabspf: number;
  /** Optimal I/O boundary in blocks; 0: none. */
  readonly noiob: number;
  /** Bytes, the low 64 bits of 128. */
  readonly nvmcap: number;
  /** Preferred write granularity and alignment, in blocks, 0-based. */
  readonly npwg: number;
  readonly npwa: number;
  /** Preferred deallocate granularity and alignment, in blocks, 0-based. */
  readonly npdg: number;
  readonly npda: number;
  /** Optimal write size in blocks, 0-based. */
  readonly nows: number;
  readonly mssrl: number;
  readonly mcl: number;
  readonly msrc: number;
  /** 0: in no ANA group. */
  readonly anagrpid: number;
  /** `Nsattr` bits. */
  readonly nsattr: number;
  readonly nvmsetid: number;
  readonly endgid: number;
  /** 32 hexadecimal digits; all zero: none. */
  readonly nguid: string;
  /** 16 hexadecimal digits; all zero: none. */
  readonly eui64: string;
  /** 1 to 64. */
  readonly lbaFormats: readonly LbaFormat[];
}

export function encodeIdentifyNamespace(namespace: IdentifyNamespace): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  const view = viewOf(bytes);
  encodeFields(view, FIELDS, namespace);
  setHex(bytes, NGUID_AT, 16, namespace.nguid);
  setHex(bytes, EUI64_AT, 8, namespace.eui64);
  const formats = namespace.lbaFormats.slice(0, LBAF_MAX);
  view.setUint8(NLBAF_AT, formats.length - 1);
  for (const [index, { ms, lbads, rp }] of formats.entries()) {
    view.setUint32(LBAF_AT + 4 * index, ms | (lbads << 16) | (rp << 24), true);
  }
  return bytes;
}

/** Null when there are fewer than 4,096 bytes. */
export function decodeIdentifyNamespace(bytes: Uint8Array): IdentifyNamespace | null {
  if (bytes.length < IDENTIFY_BYTES) return null;
  const view = viewOf(bytes);
  const count = Math.min(view.getUint8(NLBAF_AT) + 1, LBAF_MAX);
  return {
    ...decodeFields(view, FIELDS),
    nguid: getHex(bytes, NGUID_AT, 16),
    eui64: getHex(bytes, EUI64_AT, 8),
    lbaFormats: Array.from({ length: count }, (_, index) => {
      const word = view.getUint32(LBAF_AT + 4 * index, true);
      return { ms: word & 0xffff, lbads: (word >>> 16) & 0xff, rp: (word >>> 24) & 3 };
    }),
  };
}

/** The format that a namespace has now; null when it says one that it does not list. */
export function currentFormat(namespace: IdentifyNamespace): LbaFormat | null {
  const { flbas, lbaFormats } = namespace;
  const high = lbaFormats.length > 16 ? ((flbas >>> 5) & 3) << 4 : 0;
  return lbaFormats[high | (flbas & 15)] ?? null;
}

/** CNS 08h: what every namespace has, whatever its command set. */
export interface IdentifyIndependentNamespace {
  /** Not `Nsfeat`: bit 3 identifiers never reused, 4 rotating medium, 5 no volatile write cache. */
  readonly nsfeat: number;
  readonly nmic: number;
  readonly rescap: number;
  readonly fpi: number;
  readonly anagrpid: number;
  readonly nsattr: number;
  readonly nvmsetid: number;
  readonly endgid: number;
  /** `Nstat` bits: Linux leaves a namespace alone that is not ready. */
  readonly nstat: number;
}

const INDEPENDENT_FIELDS: Readonly<Record<keyof IdentifyIndependentNamespace, Field>> = {
  nsfeat: [0, 1],
  nmic: [1, 1],
  rescap: [2, 1],
  fpi: [3, 1],
  anagrpid: [4, 4],
  nsattr: [8, 1],
  nvmsetid: [10, 2],
  endgid: [12, 2],
  nstat: [14, 1],
};

export function encodeIdentifyIndependentNamespace(
  namespace: IdentifyIndependentNamespace,
): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  encodeFields(viewOf(bytes), INDEPENDENT_FIELDS, namespace);
  return bytes;
}

/** Null when there are fewer than 4,096 bytes. */
export function decodeIdentifyIndependentNamespace(
  bytes: Uint8Array,
): IdentifyIndependentNamespace | null {
  return bytes.length < IDENTIFY_BYTES ? null : decodeFields(viewOf(bytes), INDEPENDENT_FIELDS);
}
