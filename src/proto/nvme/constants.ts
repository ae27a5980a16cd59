/**
 * The numbers of NVMe that both sides say to each other, and the sizes of its structures.
 *
 * Stateless. Names are the specification's, without its abbreviations where those are not the
 * field's everyday words. Status codes are in `status.ts`, PDUs in `src/proto/nvme-tcp`.
 *
 * spec: NVM Express Base 2.0, NVM Command Set 1.0, NVMe over Fabrics 1.1
 */

/** Bytes of a submission queue entry. spec: Base 2.0 3.3.3.1 */
export const SQE_BYTES = 64;
/** Bytes of a completion queue entry. spec: Base 2.0 3.3.3.2 */
export const CQE_BYTES = 16;
/** Bytes of every Identify data structure. spec: Base 2.0 5.17.2 */
export const IDENTIFY_BYTES = 4096;

/** CDW0 bits 0-7 on the admin queue. spec: Base 2.0 figure 138 */
export const AdminOpcode = {
  deleteIoSubmissionQueue: 0x00,
  createIoSubmissionQueue: 0x01,
  getLogPage: 0x02,
  deleteIoCompletionQueue: 0x04,
  createIoCompletionQueue: 0x05,
  identify: 0x06,
  abort: 0x08,
  setFeatures: 0x09,
  getFeatures: 0x0a,
  asyncEventRequest: 0x0c,
  namespaceManagement: 0x0d,
  firmwareCommit: 0x10,
  firmwareImageDownload: 0x11,
  deviceSelfTest: 0x14,
  namespaceAttachment: 0x15,
  keepAlive: 0x18,
  directiveSend: 0x19,
  directiveReceive: 0x1a,
  fabrics: 0x7f,
  formatNvm: 0x80,
  securitySend: 0x81,
  securityReceive: 0x82,
  sanitize: 0x84,
} as const;

/** CDW0 bits 0-7 on I/O queues. spec: NVM Command Set 1.0 figure 10, Base 2.0 7 */
export const IoOpcode = {
  flush: 0x00,
  write: 0x01,
  read: 0x02,
  writeUncorrectable: 0x04,
  compare: 0x05,
  writeZeroes: 0x08,
  datasetManagement: 0x09,
  verify: 0x0c,
  reservationRegister: 0x0d,
  reservationReport: 0x0e,
  reservationAcquire: 0x11,
  reservationRelease: 0x15,
  copy: 0x19,
  fabrics: 0x7f,
} as const;

/** FCTYPE: byte 4 of a Fabrics command. spec: Base 2.0 6 */
export const FabricsType = {
  propertySet: 0x00,
  connect: 0x01,
  propertyGet: 0x04,
  authenticationSend: 0x05,
  authenticationReceive: 0x06,
  disconnect: 0x08,
} as const;

/** CDW0 bits 8-9. spec: Base 2.0 figure 86 */
export const Fuse = { none: 0, first: 1, second: 2 } as const;

/** CDW0 bits 14-15: how the data is described. Fabrics uses `sgl` only. */
export const Psdt = { prp: 0, sgl: 1, sglMetadataSegment: 2 } as const;

/**
 * Byte 15 of an SGL descriptor: type in the high nibble, subtype in the low one. The NVMe/TCP
 * transport takes two of them. spec: Base 2.0 4.1.2.1, NVMe/TCP 3.3.2
 */
export const SglType = {
  /** Data block, address: not for fabrics. */
  dataBlock: 0x00,
  /** Data block, offset: the data is in the capsule, at this offset behind the SQE. */
  dataBlockOffset: 0x01,
  /** Transport data block, transport specific: C2HData or R2T and H2CData carry the data. */
  transportDataBlock: 0x5a,
} as const;

/** Identify: what is asked for, CDW10 bits 0-7. spec: Base 2.0 figure 273 */
export const Cns = {
  namespace: 0x00,
  controller: 0x01,
  activeNamespaceList: 0x02,
  namespaceDescriptors: 0x03,
  nvmSetList: 0x04,
  csiNamespace: 0x05,
  csiController: 0x06,
  csiActiveNamespaceList: 0x07,
  csiIndependentNamespace: 0x08,
  allocatedNamespaceList: 0x10,
  allocatedNamespace: 0x11,
  namespaceControllerList: 0x12,
  controllerList: 0x13,
  primaryControllerCapabilities: 0x14,
  secondaryControllerList: 0x15,
  namespaceGranularityList: 0x16,
  uuidList: 0x17,
  csiAllocatedNamespaceList: 0x1a,
  csiAllocatedNamespace: 0x1b,
  commandSets: 0x1c,
} as const;

/** CSI: I/O command set identifier. spec: Base 2.0 figure 274 */
export const CommandSet = { nvm: 0x00, keyValue: 0x01, zoned: 0x02 } as const;

/** LID: Get Log Page, CDW10 bits 0-7. spec: Base 2.0 figure 202 */
export const LogPage = {
  supported: 0x00,
  error: 0x01,
  smart: 0x02,
  firmwareSlot: 0x03,
  changedNamespaces: 0x04,
  commandsSupportedAndEffects: 0x05,
  deviceSelfTest: 0x06,
  telemetryHost: 0x07,
  telemetryController: 0x08,
  enduranceGroup: 0x09,
  ana: 0x0c,
  persistentEvent: 0x0d,
  featureIdentifiersEffects: 0x12,
  discovery: 0x70,
  reservationNotification: 0x80,
} as const;

/** FID: CDW10 bits 0-7 of Set Features and Get Features. spec: Base 2.0 figure 317 */
export const Feature = {
  arbitration: 0x01,
  powerManagement: 0x02,
  temperatureThreshold: 0x04,
  errorRecovery: 0x05,
  volatileWriteCache: 0x06,
  numberOfQueues: 0x07,
  interruptCoalescing: 0x08,
  interruptVectorConfiguration: 0x09,
  writeAtomicity: 0x0a,
  asyncEventConfiguration: 0x0b,
  autonomousPowerStateTransition: 0x0c,
  hostMemoryBuffer: 0x0d,
  timestamp: 0x0e,
  keepAliveTimer: 0x0f,
  hostBehaviorSupport: 0x16,
  commandSetProfile: 0x19,
  softwareProgressMarker: 0x80,
  hostIdentifier: 0x81,
  reservationNotificationMask: 0x82,
  reservationPersistence: 0x83,
  namespaceWriteProtection: 0x84,
} as const;

/** SEL: CDW10 bits 8-10 of Get Features. spec: Base 2.0 figure 191 */
export const FeatureSelect = { current: 0, default: 1, saved: 2, capabilities: 3 } as const;

/** Async event type, DW0 bits 0-2 of a completed request. spec: Base 2.0 figure 146 */
export const AsyncEventType = {
  error: 0,
  smart: 1,
  notice: 2,
  immediate: 3,
  oneShot: 4,
  ioCommandSet: 6,
  vendor: 7,
} as const;

/** Async event information of type notice. spec: Base 2.0 figure 149 */
export const AsyncEventNotice = {
  namespaceAttributeChanged: 0x00,
  firmwareActivationStarting: 0x01,
  telemetryLogChanged: 0x02,
  anaChange: 0x03,
  predictableLatencyEventAggregate: 0x04,
  lbaStatusInformation: 0x05,
  enduranceGroupEventAggregate: 0x06,
  discoveryLogChange: 0xf0,
} as const;

/** Async event information of type I/O command set. spec: Base 2.0 figure 151 */
export const AsyncEventIo = {
  reservationLogAvailable: 0x00,
  sanitizeCompleted: 0x01,
} as const;

/**
 * Bits of the async event configuration (feature 0x0b) and, the same, of OAES in Identify
 * Controller. spec: Base 2.0 figure 326
 */
export const AsyncEventConfig = {
  namespaceAttribute: 1 << 8,
  firmwareActivation: 1 << 9,
  telemetryLog: 1 << 10,
  anaChange: 1 << 11,
  discoveryLogChange: 2 ** 31,
} as const;

/** DW0 of a completed Async Event Request. `logPage` is the page that tells more. */
export function asyncEventResult(type: number, information: number, logPage: number): number {
  return (type | (information << 8) | (logPage << 16)) >>> 0;
}

/** Addresses all namespaces where a command allows it. */
export const NSID_ALL = 0xffff_ffff;
/** spec: Base 2.0 3.2.1.2: 0xFFFFFFFF is the broadcast value, 0xFFFFFFFE the largest NSID. */
export const NSID_MAX = 0xffff_fffe;

/** DSM: CDW11 bits of Dataset Management. spec: NVM Command Set 1.0 figure 38 */
export const DatasetAttribute = { integralRead: 1, integralWrite: 2, deallocate: 4 } as const;
/** Bytes of a Dataset Management range: attributes u32, length in blocks u32, first block u64. */
export const DATASET_RANGE_BYTES = 16;
/** Ranges in one Dataset Management command. spec: NVM Command Set 1.0 3.2.3 */
export const DATASET_RANGES_MAX = 256;

/** CDW12 bits of Read, Write, Compare, Write Zeroes and Verify. */
export const IoFlag = {
  /** DEAC: the blocks may be deallocated (Write Zeroes). */
  deallocate: 2 ** 25,
  /** FUA: force unit access. */
  forceUnitAccess: 2 ** 30,
  /** LR: limited retry. */
  limitedRetry: 2 ** 31,
} as const;

/** The longest range of a fused compare and write, in bytes: what our controllers do as one. */
export const FUSED_BYTES_MAX = 256 * 1024;

/** Reservation types. spec: Base 2.0 figure 407 */
export const ReservationType = {
  none: 0,
  writeExclusive: 1,
  exclusiveAccess: 2,
  writeExclusiveRegistrantsOnly: 3,
  exclusiveAccessRegistrantsOnly: 4,
  writeExclusiveAllRegistrants: 5,
  exclusiveAccessAllRegistrants: 6,
} as const;
export type ReservationType = (typeof ReservationType)[keyof typeof ReservationType];

/** ANA states. spec: Base 2.0 8.1.1.3 */
export const AnaState = {
  optimized: 0x01,
  nonOptimized: 0x02,
  inaccessible: 0x03,
  persistentLoss: 0x04,
  change: 0x0f,
} as const;
export type AnaState = (typeof AnaState)[keyof typeof AnaState];

/** CNTLID of a Connect that lets the controller be chosen. spec: Base 2.0 figure 380 */
export const CNTLID_DYNAMIC = 0xffff;
/** spec: Base 2.0 3.1.1: FFF0h to FFFFh are reserved. */
export const CNTLID_MAX = 0xffef;
