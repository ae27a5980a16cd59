/**
 * The features of an I/O controller: what a host may set, and what it reads back.
 *
 * Nothing is kept over a reset: the SV bit is refused, "saved" values are the defaults.
 *
 * spec: NVMe Base 2.0 5.15, 5.27
 */

import { decodeFeatures, type FeaturesCommand, queueCounts } from "./admin-commands.ts";
import { Feature, FeatureSelect, NSID_ALL } from "./constants.ts";
import type { NvmeController } from "./controller.ts";
import { NvmeStatus } from "./status.ts";
import type { SlowCommand } from "./transport.ts";
import { setUuid } from "./wire.ts";

const HOST_BEHAVIOR_BYTES = 512;
const HOST_ID_BYTES = 16;
/** CDW11 bit 0 of the host identifier: 128 bits. */
const EXTENDED_HOST_ID = 1;
/** Threshold of a sensor, bits 0-15; type over or under, bits 20-21. */
const TEMPERATURE_TYPE_SHIFT = 20;
const TEMPERATURE_MAX = 0xffff;
/** "Deallocated or unwritten error": not there. */
const DULBE = 1 << 16;
const WRITE_CACHE_ON = 1;
/** A reserved number of queues. */
const QUEUES_INVALID = 0xffff;

/** Bits of what can be done with a feature. spec: NVMe Base 2.0 figure 192 */
const Capability = { namespaceSpecific: 2, changeable: 4 } as const;

const CAPABILITIES: ReadonlyMap<number, number> = new Map([
  [Feature.arbitration, Capability.changeable],
  [Feature.powerManagement, Capability.changeable],
  [Feature.temperatureThreshold, Capability.changeable],
  [Feature.errorRecovery, Capability.changeable | Capability.namespaceSpecific],
  [Feature.volatileWriteCache, 0],
  [Feature.numberOfQueues, Capability.changeable],
  [Feature.writeAtomicity, Capability.changeable],
  [Feature.asyncEventConfiguration, Capability.changeable],
  [Feature.keepAliveTimer, Capability.changeable],
  [Feature.hostBehaviorSupport, Capability.changeable],
  [Feature.hostIdentifier, 0],
  [Feature.reservationNotificationMask, Capability.changeable | Capability.namespaceSpecific],
  [Feature.reservationPersistence, Capability.changeable | Capability.namespaceSpecific],
]);

/** What one controller's host has set. */
export class FeatureValues {
  /** Plain 32-bit features by identifier. */
  readonly words = new Map<number, number>();
  /** Error recovery, by NSID. */
  readonly errorRecovery = new Map<number, number>();
  /** Temperature thresholds, by type (over, under). */
  readonly thresholds = new Map<number, number>();
  hostBehavior: Uint8Array = new Uint8Array(HOST_BEHAVIOR_BYTES);

  reset(): void {
    this.words.clear();
    this.errorRecovery.clear();
    this.thresholds.clear();
    this.hostBehavior = new Uint8Array(HOST_BEHAVIOR_BYTES);
  }
}

export function getFeatures(controller: NvmeController, command: SlowCommand): void {
  const request = decodeFeatures(command.sqe);
  const capabilities = CAPABILITIES.get(request.feature);
  if (capabilities === undefined || request.select > FeatureSelect.capabilities) {
    controller.refuse(command, 0, NvmeStatus.invalidField);
    return;
  }
  if (request.select === FeatureSelect.capabilities) {
    command.complete(NvmeStatus.success, capabilities);
    return;
  }
  const isCurrent = request.select === FeatureSelect.current;
  // Nothing is ever saved, so that saved values are the defaults.
  const values = isCurrent ? controller.features : DEFAULTS;
  if (request.feature === Feature.hostIdentifier) getHostId(controller, command, request);
  else if (request.feature === Feature.hostBehaviorSupport) {
    getData(controller, command, values.hostBehavior);
  } else {
    const value = featureWord(controller, command, request, values, isCurrent);
    if (typeof value === "number") command.complete(NvmeStatus.success, value);
    else controller.refuse(command, 0, value.status);
  }
}

/** Nobody sets anything here. */
const DEFAULTS = new FeatureValues();

interface Refusal {
  readonly status: number;
}

/** A feature's value in DW0. */
function featureWord(
  controller: NvmeController,
  { sqe }: SlowCommand,
  { feature, value }: FeaturesCommand,
  values: FeatureValues,
  isCurrent: boolean,
): number | Refusal {
  const { options } = controller.subsystem;
  switch (feature) {
    case Feature.volatileWriteCache:
      return WRITE_CACHE_ON;
    case Feature.numberOfQueues:
      return queueCounts(options.queuesMax, options.queuesMax);
    case Feature.asyncEventConfiguration:
      return isCurrent ? controller.events.config : 0;
    case Feature.keepAliveTimer:
      return isCurrent ? controller.keepAlive.timeoutMs : 0;
    case Feature.temperatureThreshold: {
      const type = (value >>> TEMPERATURE_TYPE_SHIFT) & 3;
      return values.thresholds.get(type) ?? (type === 0 ? TEMPERATURE_MAX : 0);
    }
    case Feature.errorRecovery:
    case Feature.reservationNotificationMask:
    case Feature.reservationPersistence:
      return namespaceWord(controller, feature, sqe.nsid, values, isCurrent);
    default:
      return values.words.get(feature) ?? 0;
  }
}

function namespaceWord(
  controller: NvmeController,
  feature: number,
  nsid: number,
  values: FeatureValues,
  isCurrent: boolean,
): number | Refusal {
  const namespace = controller.namespaceOf(nsid);
  if (namespace === null) return { status: NvmeStatus.invalidNamespaceOrFormat };
  if (feature === Feature.errorRecovery) return values.errorRecovery.get(nsid) ?? 0;
  if (namespace.reservations === null) return { status: NvmeStatus.invalidField };
  if (!isCurrent) return 0;
  if (feature === Feature.reservationNotificationMask) return controller.notices.maskOf(nsid);
  return namespace.reservations.state.persists ? 1 : 0;
}

function getHostId(
  controller: NvmeController,
  command: SlowCommand,
  { value }: FeaturesCommand,
): void {
  if ((value & EXTENDED_HOST_ID) === 0) {
    controller.refuse(command, 0, NvmeStatus.hostIdInconsistentFormat);
    return;
  }
  const bytes = new Uint8Array(HOST_ID_BYTES);
  setUuid(bytes, 0, controller.hostId);
  getData(controller, command, bytes);
}

function getData(controller: NvmeController, command: SlowCommand, bytes: Uint8Array): void {
  if (command.replyBytesMax < bytes.length) {
    controller.refuse(command, 0, NvmeStatus.dataSglLengthInvalid);
  } else {
    command.complete(NvmeStatus.success, 0, bytes.slice());
  }
}

export function setFeatures(controller: NvmeController, command: SlowCommand): void {
  const request = decodeFeatures(command.sqe);
  const { nsid } = command.sqe;
  const capabilities = CAPABILITIES.get(request.feature);
  let status: number = NvmeStatus.success;
  if (capabilities === undefined) status = NvmeStatus.invalidField;
  else if (request.save) status = NvmeStatus.featureNotSaveable;
  else if ((capabilities & Capability.namespaceSpecific) === 0 && nsid !== 0 && nsid !== NSID_ALL) {
    status = NvmeStatus.featureNotNamespaceSpecific;
  }
  if (status !== NvmeStatus.success) controller.refuse(command, 0, status);
  else if (request.feature === Feature.reservationPersistence) setPersistence(controller, command);
  else {
    const result = apply(controller, command, request);
    if (result.status === NvmeStatus.success) command.complete(result.status, result.dw0 ?? 0);
    else controller.refuse(command, 0, result.status);
  }
}

interface Applied {
  readonly status: number;
  readonly dw0?: number;
}

const DONE: Applied = { status: NvmeStatus.success };
const INVALID: Applied = { status: NvmeStatus.invalidField };

function apply(
  controller: NvmeController,
  command: SlowCommand,
  { feature, value }: FeaturesCommand,
): Applied {
  const { features, keepAlive, events } = controller;
  switch (feature) {
    case Feature.arbitration:
    case Feature.writeAtomicity:
      features.words.set(feature, value);
      return DONE;
    case Feature.powerManagement:
      // There is one power state.
      return (value & 0x1f) === 0 ? DONE : INVALID;
    case Feature.temperatureThreshold:
      return setThreshold(features, value);
    case Feature.volatileWriteCache:
      return (value & 1) === WRITE_CACHE_ON ? DONE : { status: NvmeStatus.featureNotChangeable };
    case Feature.numberOfQueues:
      return setQueues(controller, value);
    case Feature.asyncEventConfiguration:
      events.config = value;
      return DONE;
    case Feature.keepAliveTimer:
      keepAlive.start(value);
      return DONE;
    case Feature.hostBehaviorSupport:
      return setHostBehavior(features, command.data);
    case Feature.hostIdentifier:
      // It came with Connect. spec: NVMe Base 2.0 5.27.1.25
      return { status: NvmeStatus.commandSequenceError };
    default:
      return setNamespaceWord(controller, feature, command.sqe.nsid, value);
  }
}

function setThreshold(features: FeatureValues, value: number): Applied {
  const type = (value >>> TEMPERATURE_TYPE_SHIFT) & 3;
  if (type > 1) return INVALID;
  features.thresholds.set(type, value & TEMPERATURE_MAX);
  return DONE;
}

/** As many as there may be, whatever the host asks for. */
function setQueues(controller: NvmeController, value: number): Applied {
  if ((value & 0xffff) === QUEUES_INVALID || value >>> 16 === QUEUES_INVALID) return INVALID;
  if (controller.ioLinks.length > 0) return { status: NvmeStatus.commandSequenceError };
  const { queuesMax } = controller.subsystem.options;
  return { status: NvmeStatus.success, dw0: queueCounts(queuesMax, queuesMax) };
}

function setHostBehavior(features: FeatureValues, data: Uint8Array): Applied {
  const [retries = 0, telemetry = 0, formats = 0] = data;
  if (data.length < HOST_BEHAVIOR_BYTES) return { status: NvmeStatus.dataSglLengthInvalid };
  if (retries > 1 || telemetry > 1 || formats > 1) return INVALID;
  features.hostBehavior = data.slice(0, HOST_BEHAVIOR_BYTES);
  return DONE;
}

/** Of one namespace, or of all of them. */
function setNamespaceWord(
  controller: NvmeController,
  feature: number,
  nsid: number,
  value: number,
): Applied {
  const nsids = nsid === NSID_ALL ? controller.subsystem.nsids() : [nsid];
  for (const each of nsids) {
    if (controller.namespaceOf(each) === null) {
      return { status: NvmeStatus.invalidNamespaceOrFormat };
    }
  }
  if (feature === Feature.errorRecovery && (value & DULBE) !== 0) return INVALID;
  for (const each of nsids) {
    if (feature === Feature.errorRecovery) controller.features.errorRecovery.set(each, value);
    else controller.notices.setMask(each, value);
  }
  return DONE;
}

/** PTPL is part of the reservations' state: it is stored before the command is answered. */
function setPersistence(controller: NvmeController, command: SlowCommand): void {
  const reservations = controller.namespaceOf(command.sqe.nsid)?.reservations;
  if (reservations === undefined || reservations === null) {
    controller.refuse(
      command,
      0,
      reservations === undefined ? NvmeStatus.invalidNamespaceOrFormat : NvmeStatus.invalidField,
    );
    return;
  }
  const persists = (command.sqe.cdw11 & 1) !== 0;
  controller.changeReservations(command, 0, reservations, (state) => ({
    status: NvmeStatus.success,
    state: { ...state, persists },
    notices: [],
    aborted: [],
  }));
}
