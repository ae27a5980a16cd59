/**
 * DiscoverySubsystem: where hosts ask which subsystems there are and how to reach them.
 *
 * Its entries come from a provider, by listener and host; whoever changes what the provider says
 * calls `changed`. Controllers may stay (with a keep-alive time-out) and be told of changes.
 *
 * spec: NVMe Base 2.0 3.1.2.3 (discovery controllers), 5.16.1.23 (log page), 8.12
 */

import type { Clock } from "../../reactor/clock.ts";
import { decodeFeatures, decodeGetLogPage, decodeIdentify } from "./admin-commands.ts";
import { AssociationTable } from "./association-table.ts";
import { ConnectOffset } from "./connect.ts";
import { failConnect, failParameter, readConnect } from "./connect-request.ts";
import {
  AdminOpcode,
  AsyncEventConfig,
  AsyncEventNotice,
  AsyncEventType,
  Cns,
  Feature,
  FeatureSelect,
  IDENTIFY_BYTES,
  LogPage,
} from "./constants.ts";
import {
  BaseController,
  type ControllerEnvironment,
  type ControllerIdentity,
  READY_MS_MAX,
} from "./controller-base.ts";
import { controllerBasics } from "./controller-identify.ts";
import { errorPage } from "./controller-logs.ts";
import { ControllerType, encodeIdentifyController, Lpa } from "./identify-controller.ts";
import { type DiscoveryEntry, encodeDiscoveryLog } from "./log-discovery.ts";
import { encodeSupportedLogPages } from "./log-pages.ts";
import { checkLogRequest, logPart } from "./log-reply.ts";
import { DISCOVERY_NQN } from "./nqn.ts";
import { type Capabilities, SelectedCommandSet } from "./properties.ts";
import { NvmeStatus } from "./status.ts";
import {
  type ResolvedOptions,
  resolveOptions,
  type SubsystemOptions,
} from "./subsystem-options.ts";
import type { ControllerLimits, QueueLink, SlowCommand, SubsystemTarget } from "./transport.ts";

export interface DiscoveryProvider {
  /** What that host sees through that listener, referrals too, in a stable order. */
  entries(listener: string, hostNqn: string): readonly DiscoveryEntry[];
}

/** A controller without a keep-alive time-out goes when it was silent for this long. */
const SILENT_MS_MAX = 120_000;
const PAGES: readonly number[] = [LogPage.supported, LogPage.error, LogPage.discovery];

export class DiscoverySubsystem implements SubsystemTarget {
  /** What its controllers say they belong to: the well-known NQN, or one of its own. */
  readonly nqn: string;
  readonly #provider: DiscoveryProvider;
  readonly #associations: AssociationTable<DiscoveryController>;
  #generation: number;
  #isClosing = false;

  constructor(clock: Clock, provider: DiscoveryProvider, options: Partial<SubsystemOptions> = {}) {
    this.nqn = options.nqn ?? DISCOVERY_NQN;
    this.#provider = provider;
    // Another one after a restart, so that no host takes the new log for the old.
    this.#generation = Math.max(1, Math.floor(clock.wallMs?.() ?? 1));
    const resolved = resolveOptions({ ...options, nqn: this.nqn });
    const environment: ControllerEnvironment = {
      clock,
      ended: () => undefined,
      gone: (controller) => this.#associations.gone(controller),
    };
    this.#associations = new AssociationTable(resolved, false, {
      make: (identity, admin) =>
        new DiscoveryController(environment, this, resolved, identity, admin),
      hostsChanged: () => undefined,
    });
  }

  get controllers(): readonly DiscoveryController[] {
    return [...this.#associations.controllers.values()];
  }

  /** The provider says something else than before. */
  changed(): void {
    this.#generation++;
    for (const controller of this.controllers) controller.logChanged();
  }

  /** The log page for one host. */
  page(listener: string, hostNqn: string): Uint8Array {
    const entries = this.#provider.entries(listener, hostNqn);
    return encodeDiscoveryLog({ generation: this.#generation, entries });
  }

  connect(command: SlowCommand): void {
    const request = readConnect(command, [this.nqn, DISCOVERY_NQN], false);
    if (request === null) return;
    if (this.#isClosing) failConnect(command, NvmeStatus.connectControllerBusy);
    else if (request.connect.qid !== 0) failParameter(command, ConnectOffset.qid, false);
    else this.#associations.connectAdmin(request);
  }

  queueEnded(link: QueueLink): void {
    this.#associations.queueEnded(link);
  }

  /** As `NvmeSubsystem.close`. */
  close(reason: string): void {
    this.#isClosing = true;
    this.#associations.endAll(reason, () => true);
  }
}

export class DiscoveryController extends BaseController {
  readonly limits: ControllerLimits;
  protected readonly capabilities: Capabilities;
  readonly #subsystem: DiscoverySubsystem;
  readonly #options: ResolvedOptions;
  /** The host's own time-out; 0: ours for silent ones counts. */
  #keepAliveMs: number;

  constructor(
    environment: ControllerEnvironment,
    subsystem: DiscoverySubsystem,
    options: ResolvedOptions,
    identity: ControllerIdentity,
    admin: QueueLink,
  ) {
    super(environment, identity, admin);
    this.#subsystem = subsystem;
    this.#options = options;
    this.#keepAliveMs = identity.keepAliveMs;
    this.#startKeepAlive();
    const { transferBytesMax, inCapsuleBytesMax, queueEntriesMax } = options;
    this.limits = { transferBytesMax, inCapsuleBytesMax };
    this.capabilities = {
      queueEntriesMax,
      contiguousQueues: true,
      readyTimeoutMs: READY_MS_MAX,
      subsystemReset: false,
      nvmCommandSet: true,
      commandSets: false,
      adminOnly: false,
      readyWithMedia: false,
    };
  }

  logChanged(): void {
    if ((this.events.config & AsyncEventConfig.discoveryLogChange) === 0) return;
    this.events.raise(
      AsyncEventType.notice,
      AsyncEventNotice.discoveryLogChange,
      LogPage.discovery,
    );
  }

  override namespaceOf(): null {
    return null;
  }

  override admin(command: SlowCommand): void {
    if (this.#keepAliveMs === 0) this.keepAlive.heard();
    super.admin(command);
  }

  protected override isCommandSetAllowed(commandSet: number): boolean {
    return Object.values<number>(SelectedCommandSet).includes(commandSet);
  }

  protected override resetFeatures(): void {
    // The time-out belongs to the association; there is nothing else.
  }

  protected override adminCommand(command: SlowCommand): void {
    switch (command.sqe.opcode) {
      case AdminOpcode.identify:
        this.#identify(command);
        break;
      case AdminOpcode.getLogPage:
        this.#getLogPage(command);
        break;
      case AdminOpcode.getFeatures:
        this.#getFeatures(command);
        break;
      case AdminOpcode.setFeatures:
        this.#setFeatures(command);
        break;
      default:
        this.refuse(command, 0, NvmeStatus.invalidOpcode);
    }
  }

  protected override ioCommand(command: SlowCommand): void {
    this.refuse(command, 0, NvmeStatus.invalidOpcode);
  }

  #identify(command: SlowCommand): void {
    const { cns } = decodeIdentify(command.sqe);
    if (cns !== Cns.controller) {
      this.refuse(command, 0, NvmeStatus.invalidField);
    } else if (command.replyBytesMax < IDENTIFY_BYTES) {
      this.refuse(command, 0, NvmeStatus.dataSglLengthInvalid);
    } else {
      const data = encodeIdentifyController({
        ...controllerBasics(this.cntlid, this.#options),
        cntrltype: ControllerType.discovery,
        oaes: AsyncEventConfig.discoveryLogChange,
        lpa: Lpa.extendedData | Lpa.supportedLogPages,
      });
      command.complete(NvmeStatus.success, 0, data);
    }
  }

  #getLogPage(command: SlowCommand): void {
    const request = decodeGetLogPage(command.sqe);
    const status = checkLogRequest(command, request, this.limits.transferBytesMax);
    const page = status === NvmeStatus.success ? this.#pageOf(request.logPage) : status;
    const part = typeof page === "number" ? null : logPart(page, request);
    if (part === null) {
      this.refuse(command, 0, typeof page === "number" ? page : NvmeStatus.invalidField);
      return;
    }
    this.events.logRead(request.logPage, request.retainEvent);
    command.complete(NvmeStatus.success, 0, part);
  }

  #pageOf(logPage: number): Uint8Array | number {
    switch (logPage) {
      case LogPage.supported:
        return encodeSupportedLogPages(PAGES);
      case LogPage.error:
        return errorPage(this.errors);
      case LogPage.discovery:
        return this.#subsystem.page(this.listener, this.hostNqn);
      default:
        return NvmeStatus.invalidLogPage;
    }
  }

  #getFeatures(command: SlowCommand): void {
    const { feature, select } = decodeFeatures(command.sqe);
    const isCurrent = select === FeatureSelect.current;
    if (select > FeatureSelect.saved) this.refuse(command, 0, NvmeStatus.invalidField);
    else if (feature === Feature.asyncEventConfiguration) {
      command.complete(NvmeStatus.success, isCurrent ? this.events.config : 0);
    } else if (feature === Feature.keepAliveTimer) {
      command.complete(NvmeStatus.success, isCurrent ? this.#keepAliveMs : 0);
    } else this.refuse(command, 0, NvmeStatus.invalidField);
  }

  #setFeatures(command: SlowCommand): void {
    const { feature, save, value } = decodeFeatures(command.sqe);
    if (save) this.refuse(command, 0, NvmeStatus.featureNotSaveable);
    else if (feature === Feature.asyncEventConfiguration) {
      this.events.config = value;
      command.complete(NvmeStatus.success);
    } else if (feature === Feature.keepAliveTimer) {
      this.#keepAliveMs = value;
      this.#startKeepAlive();
      command.complete(NvmeStatus.success);
    } else this.refuse(command, 0, NvmeStatus.invalidField);
  }

  #startKeepAlive(): void {
    this.keepAlive.start(this.#keepAliveMs === 0 ? SILENT_MS_MAX : this.#keepAliveMs);
  }
}
