/**
 * Identify Controller (CNS 01h), its 4,096 bytes in the specification's own field names, so that
 * they can be compared with any other header; and the controller's part of the NVM command set
 * (CNS 06h).
 *
 * Stateless; off the hot path. Fields that no controller over fabrics has a use for (power,
 * firmware, RPMB, sanitize, ...) are zero and not read.
 *
 * spec: Base 2.0 figure 275; NVM Command Set 1.0 figure 101
 */

import { IDENTIFY_BYTES } from "./constants.ts";
import {
  decodeFields,
  encodeFields,
  type Field,
  getPadded,
  getTerminated,
  setPadded,
  setTerminated,
  viewOf,
} from "./wire.ts";

/** CMIC bits. */
export const Cmic = { multiPort: 1, multiController: 2, srIov: 4, ana: 8 } as const;

/** CTRATT bits. */
export const Ctratt = {
  /** HIDS: host identifiers of 128 bits. */
  hostId128: 1 << 0,
  /** TBKAS: any command restarts the keep-alive timer. */
  trafficBasedKeepAlive: 1 << 6,
} as const;

/** CNTRLTYPE. */
export const ControllerType = { notReported: 0, io: 1, discovery: 2, administrative: 3 } as const;

/** LPA bits. */
export const Lpa = {
  /** SMART per namespace. */
  smartPerNamespace: 1 << 0,
  /** Commands supported and effects log page. */
  effects: 1 << 1,
  /** Extended data: NUMDU and LPO, an offset into log pages. */
  extendedData: 1 << 2,
  telemetry: 1 << 3,
  persistentEvent: 1 << 4,
  /** Log pages 00h and 12h (supported pages, features). */
  supportedLogPages: 1 << 5,
} as const;

/** ONCS bits. */
export const Oncs = {
  compare: 1 << 0,
  writeUncorrectable: 1 << 1,
  datasetManagement: 1 << 2,
  writeZeroes: 1 << 3,
  saveAndSelect: 1 << 4,
  reservations: 1 << 5,
  timestamp: 1 << 6,
  verify: 1 << 7,
  copy: 1 << 8,
} as const;

/** FUSES bits. */
export const Fuses = { compareAndWrite: 1 } as const;

/** VWC bits. */
export const Vwc = {
  /** There is a volatile write cache: hosts send Flush. */
  present: 1,
  /** Bits 1-2: Flush to NSID FFFFFFFFh is refused, or flushes all. */
  broadcastRefused: 2 << 1,
  broadcastFlushes: 3 << 1,
} as const;

/** SGLS bits. */
export const Sgls = {
  /** Bits 0-1: 01b is SGLs without alignment. */
  supported: 1,
  keyed: 1 << 2,
  bitBucket: 1 << 16,
  /** The data may be longer than the command says. */
  oversized: 1 << 18,
  /** In-capsule data at an offset: SGL data block with subtype offset. */
  offset: 1 << 20,
  /** Transport SGL data block. */
  transport: 1 << 21,
} as const;

/** ANACAP bits: which ANA states are reported, and that ANAGRPID does not change. */
export const Anacap = {
  optimized: 1 << 0,
  nonOptimized: 1 << 1,
  inaccessible: 1 << 2,
  persistentLoss: 1 << 3,
  change: 1 << 4,
  groupIdFixed: 1 << 6,
  groupIdNotZero: 1 << 7,
} as const;

/** SQES and CQES: sizes of entries as powers of two, the least in the low nibble. */
export const SQES_64 = 0x66;
export const CQES_16 = 0x44;

type NumberName =
  | "rab"
  | "cmic"
  | "mdts"
  | "cntlid"
  | "ver"
  | "rtd3e"
  | "oaes"
  | "ctratt"
  | "cntrltype"
  | "crdt1"
  | "crdt2"
  | "crdt3"
  | "oacs"
  | "acl"
  | "aerl"
  | "frmw"
  | "lpa"
  | "elpe"
  | "npss"
  | "avscc"
  | "wctemp"
  | "cctemp"
  | "kas"
  | "anatt"
  | "anacap"
  | "anagrpmax"
  | "nanagrpid"
  | "sqes"
  | "cqes"
  | "maxcmd"
  | "nn"
  | "oncs"
  | "fuses"
  | "fna"
  | "vwc"
  | "awun"
  | "awupf"
  | "nvscc"
  | "nwpc"
  | "acwu"
  | "ocfs"
  | "sgls"
  | "mnan"
  | "ioccsz"
  | "iorcsz"
  | "icdoff"
  | "fcatt"
  | "msdbd"
  | "ofcs";

const FIELDS: Readonly<Record<NumberName, Field>> = {
  rab: [72, 1],
  cmic: [76, 1],
  mdts: [77, 1],
  cntlid: [78, 2],
  ver: [80, 4],
  rtd3e: [88, 4],
  oaes: [92, 4],
  ctratt: [96, 4],
  cntrltype: [111, 1],
  crdt1: [128, 2],
  crdt2: [130, 2],
  crdt3: [132, 2],
  oacs: [256, 2],
  acl: [258, 1],
  aerl: [259, 1],
  frmw: [260, 1],
  lpa: [261, 1],
  elpe: [262, 1],
  npss: [263, 1],
  avscc: [264, 1],
  wctemp: [266, 2],
  cctemp: [268, 2],
  kas: [320, 2],
  anatt: [342, 1],
  anacap: [343, 1],
  anagrpmax: [344, 4],
  nanagrpid: [348, 4],
  sqes: [512, 1],
  cqes: [513, 1],
  maxcmd: [514, 2],
  nn: [516, 4],
  oncs: [520, 2],
  fuses: [522, 2],
  fna: [524, 1],
  vwc: [525, 1],
  awun: [526, 2],
  awupf: [528, 2],
  nvscc: [530, 1],
  nwpc: [531, 1],
  acwu: [532, 2],
  ocfs: [534, 2],
  sgls: [536, 4],
  mnan: [540, 4],
  ioccsz: [1792, 4],
  iorcsz: [1796, 4],
  icdoff: [1800, 2],
  fcatt: [1802, 1],
  msdbd: [1803, 1],
  ofcs: [1804, 2],
};

const SERIAL_AT = 4;
export const SERIAL_BYTES = 20;
const MODEL_AT = 24;
export const MODEL_BYTES = 40;
const FIRMWARE_AT = 64;
export const FIRMWARE_BYTES = 8;
const SUBNQN_AT = 768;
const SUBNQN_BYTES = 256;

export interface IdentifyController {
  /** SN, ASCII, up to 20 characters. */
  readonly sn: string;
  /** MN, ASCII, up to 40 characters. */
  readonly mn: string;
  /** FR, ASCII, up to 8 characters. */
  readonly fr: string;
  /** Recommended arbitration burst, as a power of two. */
  readonly rab: number;
  /** `Cmic` bits. */
  readonly cmic: number;
  /** Largest transfer: 2^MDTS times 4 KiB (CAP.MPSMIN); 0: no limit. */
  readonly mdts: number;
  readonly cntlid: number;
  /** The VS property again. */
  readonly ver: number;
  /** RTD3 entry latency in microseconds: Linux waits that long for a shutdown, 5 s at least. */
  readonly rtd3e: number;
  /** `AsyncEventConfig` bits. */
  readonly oaes: number;
  /** `Ctratt` bits. */
  readonly ctratt: number;
  /** `ControllerType`. */
  readonly cntrltype: number;
  /** Command retry delays 1 to 3, in 100 ms. */
  readonly crdt1: number;
  readonly crdt2: number;
  readonly crdt3: number;
  /** Optional admin commands. */
  readonly oacs: number;
  /** Abort command limit, 0-based. */
  readonly acl: number;
  /** Async event request limit, 0-based. */
  readonly aerl: number;
  /** Firmware: bit 0 slot 1 is read-only, bits 1-3 the number of slots. */
  readonly frmw: number;
  /** `Lpa` bits. */
  readonly lpa: number;
  /** Error log page entries, 0-based. */
  readonly elpe: number;
  /** Power states, 0-based. */
  readonly npss: number;
  /** Bit 0: vendor specific admin commands have the usual NDT and NDM dwords. */
  readonly avscc: number;
  /** Warning and critical composite temperature, kelvin. */
  readonly wctemp: number;
  readonly cctemp: number;
  /** Granularity of the keep-alive timer in 100 ms; 0: there is none. */
  readonly kas: number;
  /** ANA transition time in seconds. */
  readonly anatt: number;
  /** `Anacap` bits. */
  readonly anacap: number;
  /** Largest ANA group identifier. */
  readonly anagrpmax: number;
  /** Number of ANA groups. */
  readonly nanagrpid: number;
  readonly sqes: number;
  readonly cqes: number;
  /** Commands outstanding on an I/O queue: fabrics controllers must say so. */
  readonly maxcmd: number;
  /** Largest NSID. */
  readonly nn: number;
  /** `Oncs` bits. */
  readonly oncs: number;
  /** `Fuses` bits. */
  readonly fuses: number;
  readonly fna: number;
  /** `Vwc` bits. */
  readonly vwc: number;
  /** Atomic write units, in blocks, 0-based: normally, after power failure. */
  readonly awun: number;
  readonly awupf: number;
  readonly nvscc: number;
  readonly nwpc: number;
  /** Atomic compare and write unit, in blocks, 0-based. */
  readonly acwu: number;
  readonly ocfs: number;
  /** `Sgls` bits. */
  readonly sgls: number;
  /** Namespaces at most, or 0: NN. */
  readonly mnan: number;
  /** SUBNQN, up to 223 bytes. */
  readonly subnqn: string;
  /** Bytes of an I/O command capsule, in 16: 4 and the in-capsule data. */
  readonly ioccsz: number;
  /** Bytes of an I/O response capsule, in 16: 1. */
  readonly iorcsz: number;
  /** In-capsule data offset in 16 bytes behind the SQE; NVMe/TCP: 0. */
  readonly icdoff: number;
  /** Bit 0: the static controller model. */
  readonly fcatt: number;
  /** SGL data blocks of a capsule; NVMe/TCP: 1. */
  readonly msdbd: number;
  /** Bit 0: Disconnect. */
  readonly ofcs: number;
}

export function encodeIdentifyController(controller: IdentifyController): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  encodeFields(viewOf(bytes), FIELDS, controller);
  setPadded(bytes, SERIAL_AT, SERIAL_BYTES, controller.sn);
  setPadded(bytes, MODEL_AT, MODEL_BYTES, controller.mn);
  setPadded(bytes, FIRMWARE_AT, FIRMWARE_BYTES, controller.fr);
  setTerminated(bytes, SUBNQN_AT, SUBNQN_BYTES, controller.subnqn);
  return bytes;
}

/** Null when there are fewer than 4,096 bytes. */
export function decodeIdentifyController(bytes: Uint8Array): IdentifyController | null {
  if (bytes.length < IDENTIFY_BYTES) return null;
  return {
    ...decodeFields(viewOf(bytes), FIELDS),
    sn: getPadded(bytes, SERIAL_AT, SERIAL_BYTES),
    mn: getPadded(bytes, MODEL_AT, MODEL_BYTES),
    fr: getPadded(bytes, FIRMWARE_AT, FIRMWARE_BYTES),
    subnqn: getTerminated(bytes, SUBNQN_AT, SUBNQN_BYTES),
  };
}

/**
 * Limits of commands that MDTS does not hold, CNS 06h of the NVM command set. Zero: no limit but
 * the command's own fields.
 */
export interface IdentifyNvmController {
  /** Verify, Write Zeroes, Write Uncorrectable: 2^n times 4 KiB. */
  readonly vsl: number;
  readonly wzsl: number;
  readonly wusl: number;
  /** Ranges of a Dataset Management command. */
  readonly dmrl: number;
  /** Blocks of one of its ranges. */
  readonly dmrsl: number;
  /** Blocks of all of its ranges. */
  readonly dmsl: number;
}

const NVM_FIELDS: Readonly<Record<keyof IdentifyNvmController, Field>> = {
  vsl: [0, 1],
  wzsl: [1, 1],
  wusl: [2, 1],
  dmrl: [3, 1],
  dmrsl: [4, 4],
  dmsl: [8, 8],
};

export function encodeIdentifyNvmController(limits: IdentifyNvmController): Uint8Array {
  const bytes = new Uint8Array(IDENTIFY_BYTES);
  encodeFields(viewOf(bytes), NVM_FIELDS, limits);
  return bytes;
}

/** Null when there are fewer than 4,096 bytes. */
export function decodeIdentifyNvmController(bytes: Uint8Array): IdentifyNvmController | null {
  return bytes.length < IDENTIFY_BYTES ? null : decodeFields(viewOf(bytes), NVM_FIELDS);
}
