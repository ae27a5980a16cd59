/**
 * Every number of the NBD protocol, and our limits around it.
 *
 * Stateless. 64-bit magics are two 32-bit words, so that no BigInt is needed. Names follow the
 * spec without its NBD_ prefix.
 *
 * spec: NBD proto.md "Values"; extended headers: branch extension-ext-header of the same document
 */

// 64-bit magics of the handshake, high word then low word.
// spec: NBD proto.md "Newstyle negotiation"
export const INIT_MAGIC_HIGH = 0x4e42_444d; // "NBDM"
export const INIT_MAGIC_LOW = 0x4147_4943; // "AGIC"
export const OPTION_MAGIC_HIGH = 0x4948_4156; // "IHAV"
export const OPTION_MAGIC_LOW = 0x454f_5054; // "EOPT"
// spec: NBD proto.md "Fixed newstyle negotiation"
export const OPTION_REPLY_MAGIC_HIGH = 0x0003_e889;
export const OPTION_REPLY_MAGIC_LOW = 0x0455_65a9;

// Magics of the transmission phase. All are below 2^31, so signed and unsigned reads agree.
export const REQUEST_MAGIC = 0x2560_9513;
export const EXTENDED_REQUEST_MAGIC = 0x21e4_1c71;
export const SIMPLE_REPLY_MAGIC = 0x6744_6698;
export const STRUCTURED_REPLY_MAGIC = 0x668e_33ef;
export const EXTENDED_REPLY_MAGIC = 0x6e8a_278c;

/** Bits the server sends first. spec: NBD proto.md "Handshake flags" */
export const HandshakeFlag = { fixedNewstyle: 1 << 0, noZeroes: 1 << 1 } as const;

/** Bits the client answers with. spec: NBD proto.md "Client flags" */
export const ClientFlag = { fixedNewstyle: 1 << 0, noZeroes: 1 << 1 } as const;

/** What an export can do. spec: NBD proto.md "Transmission flags" */
export const TransmissionFlag = {
  hasFlags: 1 << 0,
  readOnly: 1 << 1,
  sendFlush: 1 << 2,
  sendFua: 1 << 3,
  rotational: 1 << 4,
  sendTrim: 1 << 5,
  sendWriteZeroes: 1 << 6,
  sendDf: 1 << 7,
  canMultiConn: 1 << 8,
  sendResize: 1 << 9,
  sendCache: 1 << 10,
  sendFastZero: 1 << 11,
  blockStatusPayload: 1 << 12,
} as const;

/** spec: NBD proto.md "Option types" */
export const Option = {
  exportName: 1,
  abort: 2,
  list: 3,
  peekExport: 4,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
  extendedHeaders: 11,
} as const;

/** spec: NBD proto.md "Option reply types" */
export const OptionReply = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  errUnsup: 0x8000_0001,
  errPolicy: 0x8000_0002,
  errInvalid: 0x8000_0003,
  errPlatform: 0x8000_0004,
  errTlsReqd: 0x8000_0005,
  errUnknown: 0x8000_0006,
  errShutdown: 0x8000_0007,
  errBlockSizeReqd: 0x8000_0008,
  errTooBig: 0x8000_0009,
  errExtHeaderReqd: 0x8000_000a,
} as const;
export type OptionReply = (typeof OptionReply)[keyof typeof OptionReply];

/** Kinds of OptionReply.info. spec: NBD proto.md "Option reply types", NBD_REP_INFO */
export const InfoType = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

/** spec: NBD proto.md "Request types" */
export const Command = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
  resize: 8,
} as const;

/** spec: NBD proto.md "Command flags" */
export const CommandFlag = {
  fua: 1 << 0,
  noHole: 1 << 1,
  df: 1 << 2,
  reqOne: 1 << 3,
  fastZero: 1 << 4,
  /** Extended headers only: `length` counts payload bytes that follow the header. */
  payloadLen: 1 << 5,
} as const;

/** spec: NBD proto.md "Structured reply flags" */
export const ChunkFlag = { done: 1 << 0 } as const;

/** spec: NBD proto.md "Structured reply types" */
export const ChunkType = {
  none: 0,
  offsetData: 1,
  offsetHole: 2,
  blockStatus: 5,
  blockStatusExt: 6,
  error: 0x8001,
  errorOffset: 0x8002,
} as const;

/** Errors on the wire: the protocol's own values. spec: NBD proto.md "Error values" */
export const NbdError = {
  none: 0,
  eperm: 1,
  eio: 5,
  enomem: 12,
  einval: 22,
  enospc: 28,
  eoverflow: 75,
  enotsup: 95,
  eshutdown: 108,
} as const;
export type NbdError = (typeof NbdError)[keyof typeof NbdError];

/** Bits of a base:allocation extent. spec: NBD proto.md "`base:allocation` metadata context" */
export const AllocationState = { hole: 1 << 0, zero: 1 << 1 } as const;

// Sizes on the wire, in bytes.
export const CLIENT_FLAGS_BYTES = 4;
export const OPTION_HEADER_BYTES = 16;
export const OPTION_REPLY_HEADER_BYTES = 20;
/** Zeroes after the reply to EXPORT_NAME, unless both sides said no-zeroes. */
export const EXPORT_NAME_ZEROES_BYTES = 124;

// Limits of the protocol.
/** Longest string: export names, queries, messages. spec: NBD proto.md "Conventions" */
export const STRING_BYTES_MAX = 4096;
/** Clients may count on payloads up to this. spec: NBD proto.md "Block size constraints" */
export const PAYLOAD_BYTES_MAX = 32 * 1024 * 1024;
/** spec: NBD proto.md "Block size constraints" */
export const MINIMUM_BLOCK_BYTES_MAX = 65_536;
export const PREFERRED_BLOCK_BYTES_MIN = 512;
/** Value of the maximum block size that says "no limit". */
export const MAXIMUM_BLOCK_UNLIMITED = 0xffff_ffff;

// Limits of ours, against peers that want our memory or time.
/** Option data that we keep; larger data is skipped and answered with errTooBig. */
export const OPTION_BYTES_MAX = 64 * 1024;
/** Option data that we skip; a larger length closes the connection. */
export const OPTION_SKIP_BYTES_MAX = 32 * 1024 * 1024;
/** Options on one connection; one more closes it. nbdinfo --list sends three per export. */
export const OPTION_COUNT_MAX = 16_384;
/** Bytes received in one handshake; more closes the connection. */
export const HANDSHAKE_BYTES_MAX = 64 * 1024 * 1024;
/** Queries in one LIST_META_CONTEXT or SET_META_CONTEXT. */
export const META_QUERY_COUNT_MAX = 1024;
/** Metadata contexts that a listener can offer, and that a session can select. */
export const META_CONTEXT_COUNT_MAX = 8;
export const META_CONTEXT_NAME_BYTES_MAX = 256;
