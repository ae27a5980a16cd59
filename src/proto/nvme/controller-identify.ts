/**
 * Identify, as an I/O controller answers it: the controller, its namespaces, their lists.
 *
 * spec: NVMe Base 2.0 5.17, NVM Command Set 1.0 4.1.5
 */

import { Support } from "../../block/operation.ts";
import { decodeIdentify } from "./admin-commands.ts";
import { ASYNC_EVENT_REQUESTS_MAX } from "./async-events.ts";
import {
  AsyncEventConfig,
  Cns,
  CommandSet,
  FUSED_BYTES_MAX,
  IDENTIFY_BYTES,
  NSID_MAX,
} from "./constants.ts";
import { ABORTS_MAX } from "./controller-base.ts";
import type { NvmeController } from "./controller.ts";
import { ERROR_LOG_ENTRIES } from "./error-log.ts";
import {
  Anacap,
  Cmic,
  ControllerType,
  CQES_16,
  Ctratt,
  encodeIdentifyController,
  encodeIdentifyNvmController,
  Fuses,
  type IdentifyController,
  Lpa,
  Oncs,
  Sgls,
  SQES_64,
  Vwc,
} from "./identify-controller.ts";
import {
  encodeCommandSets,
  encodeControllerList,
  encodeNamespaceDescriptors,
  encodeNamespaceList,
} from "./identify-lists.ts";
import {
  Dlfeat,
  encodeIdentifyIndependentNamespace,
  encodeIdentifyNamespace,
  IndependentNsfeat,
  Nmic,
  Nsattr,
  Nsfeat,
  Nstat,
  Rescap,
} from "./identify-namespace.ts";
import { KEEP_ALIVE_GRANULARITY_MS } from "./keep-alive.ts";
import { NAMESPACES_MAX, type NvmeNamespace } from "./namespace.ts";
import { VERSION_2_0 } from "./properties.ts";
import { NvmeStatus } from "./status.ts";
import type { SubsystemView } from "./subsystem-view.ts";
import { mdtsOf, type ResolvedOptions } from "./subsystem-options.ts";
import type { SlowCommand } from "./transport.ts";

/** How long Linux waits for a shutdown at most, in microseconds. */
const SHUTDOWN_US_MAX = 10_000_000;
/** Seconds a change of ANA state may take. */
const ANA_TRANSITION_S = 10;
const U16_MAX = 0xffff;

export function identify(controller: NvmeController, command: SlowCommand): void {
  if (command.replyBytesMax < IDENTIFY_BYTES) {
    controller.refuse(command, 0, NvmeStatus.dataSglLengthInvalid);
    return;
  }
  const data = identifyData(controller, command);
  if (typeof data === "number") controller.refuse(command, 0, data);
  else command.complete(NvmeStatus.success, 0, data);
}

/** The structure that is asked for, or a status. */
function identifyData(controller: NvmeController, { sqe }: SlowCommand): Uint8Array | number {
  const { subsystem } = controller;
  const { cns, cntlid, csi } = decodeIdentify(sqe);
  if (needsNvm(cns) && csi !== CommandSet.nvm) return NvmeStatus.invalidField;
  switch (cns) {
    case Cns.controller:
      return encodeIdentifyController(identifyController(controller.cntlid, subsystem.options));
    case Cns.csiController:
      // No limits but MDTS and the fields of the commands.
      return encodeIdentifyNvmController({
        vsl: 0,
        wzsl: 0,
        wusl: 0,
        dmrl: 0,
        dmrsl: 0,
        dmsl: 0,
      });
    case Cns.activeNamespaceList:
    case Cns.csiActiveNamespaceList:
      return activeNamespaces(subsystem, sqe.nsid);
    case Cns.controllerList:
      return controllerList(subsystem, cntlid);
    case Cns.namespaceControllerList:
      return subsystem.namespaceOf(sqe.nsid) === null
        ? NvmeStatus.invalidField
        : controllerList(subsystem, cntlid);
    case Cns.commandSets:
      return encodeCommandSets();
    case Cns.namespace:
    case Cns.csiNamespace:
    case Cns.csiIndependentNamespace:
    case Cns.namespaceDescriptors:
      return identifyNamespace(subsystem, cns, sqe.nsid);
    default:
      return NvmeStatus.invalidField;
  }
}

function needsNvm(cns: number): boolean {
  return (
    cns === Cns.csiController || cns === Cns.csiActiveNamespaceList || cns === Cns.csiNamespace
  );
}

function activeNamespaces(subsystem: SubsystemView, above: number): Uint8Array | number {
  if (above >= NSID_MAX) return NvmeStatus.invalidNamespaceOrFormat;
  return encodeNamespaceList(subsystem.nsids().filter((nsid) => nsid > above));
}

function controllerList(subsystem: SubsystemView, from: number): Uint8Array {
  return encodeControllerList(subsystem.cntlids().filter((cntlid) => cntlid >= from));
}

function identifyNamespace(
  subsystem: SubsystemView,
  cns: number,
  nsid: number,
): Uint8Array | number {
  const namespace = subsystem.namespaceOf(nsid);
  if (namespace === null) {
    const isInactive = nsid >= 1 && nsid <= NAMESPACES_MAX;
    // spec: NVMe Base 2.0 5.17.2.1: an inactive NSID has a structure of zeroes.
    return isInactive && cns !== Cns.namespaceDescriptors
      ? new Uint8Array(IDENTIFY_BYTES)
      : NvmeStatus.invalidNamespaceOrFormat;
  }
  switch (cns) {
    case Cns.namespaceDescriptors:
      return encodeNamespaceDescriptors({
        eui64: null,
        nguid: hexOf(namespace.nguid),
        uuid: namespace.uuid,
        commandSet: CommandSet.nvm,
      });
    case Cns.csiIndependentNamespace:
      return encodeIdentifyIndependentNamespace({
        ...commonFields(namespace),
        nsfeat: namespace.device.info.volatileCache ? 0 : IndependentNsfeat.noVolatileCache,
        fpi: 0,
        nvmsetid: 0,
        endgid: 0,
        nstat: Nstat.ready,
      });
    case Cns.csiNamespace:
      // Only of protection information, which there is none of.
      return new Uint8Array(IDENTIFY_BYTES);
    default:
      return nvmNamespace(namespace);
  }
}

function commonFields(namespace: NvmeNamespace) {
  return {
    nmic: Nmic.shared,
    rescap: rescapOf(namespace),
    anagrpid: namespace.anaGroup,
    nsattr: namespace.readOnly ? Nsattr.writeProtected : 0,
  };
}

function nvmNamespace(namespace: NvmeNamespace): Uint8Array {
  const { blocks, blockShift, device } = namespace;
  const { physicalBlockSizeBytes, optimalIoBytes, discardGranularityBytes } = device.info;
  const written = zeroBased(physicalBlockSizeBytes, blockShift);
  const discards = device.operations.discard !== Support.refuse;
  const discarded = zeroBased(discardGranularityBytes, blockShift);
  return encodeIdentifyNamespace({
    ...commonFields(namespace),
    nsfeat: Nsfeat.preferredSizes | Nsfeat.atomicUnits,
    nsze: blocks,
    ncap: blocks,
    nuse: blocks,
    flbas: 0,
    fpi: 0,
    // A device that refuses discards keeps what is deallocated.
    dlfeat: discards ? Dlfeat.readsZeroes | Dlfeat.writeZeroesDeallocates : 0,
    // One block is atomic, no more; but devices compare and write what they transfer as one.
    nawun: 0,
    nawupf: 0,
    nacwu: zeroBased(Math.min(device.info.maxTransferBytes, FUSED_BYTES_MAX), blockShift),
    nabsn: 0,
    nabo: 0,
    nabspf: 0,
    noiob: 0,
    nvmcap: blocks * 2 ** blockShift,
    npwg: written,
    npwa: written,
    npdg: discarded,
    npda: discarded,
    nows: zeroBased(optimalIoBytes, blockShift),
    mssrl: 0,
    mcl: 0,
    msrc: 0,
    nvmsetid: 0,
    endgid: 0,
    nguid: hexOf(namespace.nguid),
    eui64: "0".repeat(16),
    lbaFormats: [{ ms: 0, lbads: blockShift, rp: 0 }],
  });
}

function rescapOf({ reservations }: NvmeNamespace): number {
  if (reservations === null) return 0;
  return (
    (reservations.canPersist ? Rescap.persistThroughPowerLoss : 0) |
    Rescap.writeExclusive |
    Rescap.exclusiveAccess |
    Rescap.writeExclusiveRegistrants |
    Rescap.exclusiveAccessRegistrants |
    Rescap.writeExclusiveAll |
    Rescap.exclusiveAccessAll |
    Rescap.ignoreExistingKey
  );
}

/** Bytes as a 0-based count of blocks in 16 bits. */
function zeroBased(bytes: number, blockShift: number): number {
  const blocks = Math.floor(bytes / 2 ** blockShift);
  return Math.min(Math.max(blocks, 1) - 1, U16_MAX);
}

function hexOf(uuid: string): string {
  return uuid.replaceAll("-", "");
}

/** What I/O controllers say of themselves. */
function identifyController(cntlid: number, options: ResolvedOptions): IdentifyController {
  return {
    ...controllerBasics(cntlid, options),
    cmic: Cmic.multiPort | Cmic.multiController | Cmic.ana,
    oaes: AsyncEventConfig.namespaceAttribute | AsyncEventConfig.anaChange,
    cntrltype: ControllerType.io,
    lpa: Lpa.smartPerNamespace | Lpa.effects | Lpa.extendedData | Lpa.supportedLogPages,
    anatt: ANA_TRANSITION_S,
    anacap:
      Anacap.optimized |
      Anacap.nonOptimized |
      Anacap.inaccessible |
      Anacap.persistentLoss |
      Anacap.change |
      Anacap.groupIdFixed,
    anagrpmax: NAMESPACES_MAX,
    nanagrpid: NAMESPACES_MAX,
    nn: NAMESPACES_MAX,
    mnan: NAMESPACES_MAX,
    oncs:
      Oncs.compare |
      Oncs.datasetManagement |
      Oncs.writeZeroes |
      Oncs.saveAndSelect |
      Oncs.reservations |
      Oncs.verify,
    fuses: Fuses.compareAndWrite,
    // Also while no namespace has a cache: one that has may come while hosts are connected.
    vwc: Vwc.present | Vwc.broadcastRefused,
  };
}

/** What discovery controllers say too; all else of them is zero. */
export function controllerBasics(cntlid: number, options: ResolvedOptions): IdentifyController {
  return {
    sn: options.serial,
    mn: options.model,
    fr: options.firmware,
    rab: 6,
    cmic: 0,
    mdts: mdtsOf(options),
    cntlid,
    ver: VERSION_2_0,
    rtd3e: SHUTDOWN_US_MAX,
    oaes: 0,
    ctratt: Ctratt.hostId128,
    cntrltype: ControllerType.notReported,
    crdt1: 0,
    crdt2: 0,
    crdt3: 0,
    oacs: 0,
    acl: ABORTS_MAX - 1,
    aerl: ASYNC_EVENT_REQUESTS_MAX - 1,
    // One slot, read-only.
    frmw: 0b011,
    lpa: Lpa.extendedData,
    elpe: ERROR_LOG_ENTRIES - 1,
    npss: 0,
    avscc: 1,
    wctemp: 0,
    cctemp: 0,
    kas: KEEP_ALIVE_GRANULARITY_MS / 100,
    anatt: 0,
    anacap: 0,
    anagrpmax: 0,
    nanagrpid: 0,
    sqes: SQES_64,
    cqes: CQES_16,
    maxcmd: options.queueEntriesMax,
    nn: 0,
    oncs: 0,
    fuses: 0,
    fna: 0,
    vwc: 0,
    awun: 0,
    awupf: 0,
    nvscc: 0,
    nwpc: 0,
    acwu: 0,
    ocfs: 0,
    sgls: Sgls.supported | Sgls.offset | Sgls.transport,
    mnan: 0,
    subnqn: options.nqn,
    ioccsz: (64 + options.inCapsuleBytesMax) / 16,
    iorcsz: 1,
    icdoff: 0,
    fcatt: 0,
    msdbd: 1,
    ofcs: 0,
  };
}
