/**
 * The log pages of an I/O controller.
 *
 * A page tells what happened; reading it without "retain async event" has its event told anew when
 * more happens, and empties those pages that are lists of news.
 *
 * spec: NVMe Base 2.0 5.16.1
 */

import { decodeGetLogPage, type GetLogPageCommand } from "./admin-commands.ts";
import { AdminOpcode, CommandSet, Feature, IoOpcode, LogPage, NSID_ALL } from "./constants.ts";
import type { NvmeController } from "./controller.ts";
import { ERROR_LOG_ENTRIES, type ErrorLog } from "./error-log.ts";
import type { IoCounters } from "./io-counters.ts";
import { encodeAnaLog } from "./log-ana.ts";
import { TransportType } from "./log-discovery.ts";
import { encodeErrorLog } from "./log-error.ts";
import {
  CommandEffect,
  encodeChangedNamespaces,
  encodeCommandEffects,
  encodeFeatureEffects,
  encodeFirmwareSlot,
  encodeSupportedLogPages,
  FeatureEffect,
} from "./log-pages.ts";
import { checkLogRequest, logPart } from "./log-reply.ts";
import { dataUnitsOf, encodeSmartLog } from "./log-smart.ts";
import { NAMESPACES_MAX } from "./namespace.ts";
import { encodeReservationNotification } from "./reservation-data.ts";
import { NvmeStatus } from "./status.ts";
import type { SubsystemView } from "./subsystem-view.ts";
import type { SlowCommand } from "./transport.ts";
import { VendorOpcode } from "./vendor.ts";

/** LSP bit 0 of the ANA page: groups without their namespaces. */
const RETURN_GROUPS_ONLY = 1;
/** Of the ANA page at most: a header, and for each namespace a group and its NSID. */
const ANA_LOG_BYTES = 16 + NAMESPACES_MAX * (32 + 4);
const NO_PARAMETER = 0xffff;
const MS_PER_HOUR = 3_600_000;

const PAGES: readonly number[] = [
  LogPage.supported,
  LogPage.error,
  LogPage.smart,
  LogPage.firmwareSlot,
  LogPage.changedNamespaces,
  LogPage.commandsSupportedAndEffects,
  LogPage.ana,
  LogPage.featureIdentifiersEffects,
  LogPage.reservationNotification,
];

const CHANGES = CommandEffect.supported | CommandEffect.contentChange;

const ADMIN_EFFECTS: ReadonlyMap<number, number> = new Map(
  [
    AdminOpcode.getLogPage,
    AdminOpcode.identify,
    AdminOpcode.abort,
    AdminOpcode.setFeatures,
    AdminOpcode.getFeatures,
    AdminOpcode.asyncEventRequest,
    AdminOpcode.keepAlive,
    AdminOpcode.fabrics,
    VendorOpcode.penstockInstance,
    VendorOpcode.penstockClaim,
  ].map((opcode) => [opcode, CommandEffect.supported]),
);

const IO_EFFECTS: ReadonlyMap<number, number> = new Map([
  [IoOpcode.flush, CommandEffect.supported],
  [IoOpcode.write, CHANGES],
  [IoOpcode.read, CommandEffect.supported],
  [IoOpcode.compare, CommandEffect.supported],
  [IoOpcode.writeZeroes, CHANGES],
  [IoOpcode.datasetManagement, CHANGES],
  [IoOpcode.verify, CommandEffect.supported],
  [IoOpcode.reservationRegister, CommandEffect.supported],
  [IoOpcode.reservationReport, CommandEffect.supported],
  [IoOpcode.reservationAcquire, CommandEffect.supported],
  [IoOpcode.reservationRelease, CommandEffect.supported],
  [IoOpcode.fabrics, CommandEffect.supported],
]);

const OF_CONTROLLER = FeatureEffect.supported | FeatureEffect.scopeController;
const OF_NAMESPACE = FeatureEffect.supported | FeatureEffect.scopeNamespace;

const FEATURE_EFFECTS: ReadonlyMap<number, number> = new Map([
  [Feature.arbitration, OF_CONTROLLER],
  [Feature.powerManagement, OF_CONTROLLER],
  [Feature.temperatureThreshold, OF_CONTROLLER],
  [Feature.errorRecovery, OF_NAMESPACE],
  [Feature.volatileWriteCache, OF_CONTROLLER],
  [Feature.numberOfQueues, OF_CONTROLLER],
  [Feature.writeAtomicity, OF_CONTROLLER],
  [Feature.asyncEventConfiguration, OF_CONTROLLER],
  [Feature.keepAliveTimer, OF_CONTROLLER],
  [Feature.hostBehaviorSupport, OF_CONTROLLER],
  [Feature.hostIdentifier, OF_CONTROLLER],
  [Feature.reservationNotificationMask, OF_NAMESPACE],
  [Feature.reservationPersistence, OF_NAMESPACE],
]);

export function getLogPage(controller: NvmeController, command: SlowCommand): void {
  const request = decodeGetLogPage(command.sqe);
  const { transferBytesMax } = controller.limits;
  const status = checkLogRequest(command, request, transferBytesMax);
  const page = status === NvmeStatus.success ? pageOf(controller, command, request) : status;
  const part = typeof page === "number" ? null : logPart(page, request);
  if (part === null) {
    controller.refuse(command, 0, typeof page === "number" ? page : NvmeStatus.invalidField);
    return;
  }
  noteRead(controller, request);
  command.complete(NvmeStatus.success, 0, part);
}

/** The whole page, or a status. */
function pageOf(
  controller: NvmeController,
  { sqe }: SlowCommand,
  { logPage, specific, csi }: GetLogPageCommand,
): Uint8Array | number {
  const { subsystem } = controller;
  switch (logPage) {
    case LogPage.supported:
      return encodeSupportedLogPages(PAGES);
    case LogPage.error:
      return errorPage(controller.errors);
    case LogPage.smart:
      return smartPage(controller, sqe.nsid);
    case LogPage.firmwareSlot:
      return encodeFirmwareSlot(subsystem.options.firmware);
    case LogPage.changedNamespaces:
      return encodeChangedNamespaces(controller.changedNamespaces());
    case LogPage.commandsSupportedAndEffects:
      return csi === CommandSet.nvm
        ? encodeCommandEffects(ADMIN_EFFECTS, IO_EFFECTS)
        : NvmeStatus.invalidField;
    case LogPage.ana:
      return anaPage(subsystem, (specific & RETURN_GROUPS_ONLY) !== 0);
    case LogPage.featureIdentifiersEffects:
      return encodeFeatureEffects(FEATURE_EFFECTS);
    case LogPage.reservationNotification:
      return encodeReservationNotification(controller.notices.first());
    default:
      return NvmeStatus.invalidLogPage;
  }
}

/** A list of news is emptied when it has been read to its end. */
function noteRead(controller: NvmeController, request: GetLogPageCommand): void {
  const { logPage, retainEvent } = request;
  controller.events.logRead(logPage, retainEvent);
  if (retainEvent) return;
  if (logPage === LogPage.changedNamespaces) controller.changedNamespacesRead();
  if (logPage === LogPage.reservationNotification) controller.noticeRead();
}

export function errorPage(errors: ErrorLog): Uint8Array {
  const entries = errors.entries.map(({ number, qid, cid, status, nsid, lba }) => ({
    errorCount: number,
    sqId: qid,
    cid,
    status,
    parameterLocation: NO_PARAMETER,
    lba,
    nsid,
    transportType: TransportType.tcp,
  }));
  return encodeErrorLog(entries, ERROR_LOG_ENTRIES);
}

/** What hosts have done with one namespace, or with all, by whatever controller. */
function smartPage(controller: NvmeController, nsid: number): Uint8Array | number {
  const { subsystem } = controller;
  const isOfAll = nsid === 0 || nsid === NSID_ALL;
  const nsids = isOfAll ? subsystem.nsids() : [nsid];
  const counts: IoCounters[] = [];
  for (const each of nsids) {
    const namespace = subsystem.namespaceOf(each);
    if (namespace === null) return NvmeStatus.invalidNamespaceOrFormat;
    counts.push(namespace.counters);
  }
  const sum = (of: (each: IoCounters) => number): number =>
    counts.reduce((total, each) => total + of(each), 0);
  const upMs = subsystem.clock.nowMs() - subsystem.startedMs;
  return encodeSmartLog({
    criticalWarning: 0,
    // No sensor: 0 is what the kernel's target reports too.
    temperature: 0,
    availableSpare: 100,
    availableSpareThreshold: 0,
    percentageUsed: 0,
    dataUnitsRead: dataUnitsOf(sum(({ readBytes }) => readBytes)),
    dataUnitsWritten: dataUnitsOf(sum(({ writeBytes }) => writeBytes)),
    hostReadCommands: sum(({ reads }) => reads),
    hostWriteCommands: sum(({ writes }) => writes),
    controllerBusyTime: 0,
    powerCycles: 1,
    powerOnHours: Math.floor(upMs / MS_PER_HOUR),
    unsafeShutdowns: 0,
    mediaErrors: sum(({ errors }) => errors),
    errorLogEntries: controller.errors.count,
  });
}

/**
 * As long as Identify Controller lets hosts expect (header, groups, NSIDs): nvme-cli reads all of
 * that in pieces, and an offset beyond the page would fail it.
 */
function anaPage(subsystem: SubsystemView, groupsOnly: boolean): Uint8Array {
  const groups = subsystem.nsids().map((nsid) => ({
    id: subsystem.namespaceOf(nsid)?.anaGroup ?? nsid,
    changeCount: subsystem.anaGroupChangeCount(nsid),
    state: subsystem.namespaceOf(nsid)?.anaState ?? 0,
    nsids: [nsid],
  }));
  const page = new Uint8Array(ANA_LOG_BYTES);
  page.set(encodeAnaLog({ changeCount: subsystem.anaChangeCount, groups }, groupsOnly));
  return page;
}
