/**
 * NvmeController: an I/O controller: one host's association with a subsystem and its namespaces.
 *
 * Owns what its host has set and has not yet read; asks the subsystem for all else.
 */

import {
  AdminOpcode,
  AsyncEventConfig,
  AsyncEventIo,
  AsyncEventNotice,
  AsyncEventType,
  IoOpcode,
  LogPage,
} from "./constants.ts";
import {
  BaseController,
  type ControllerEnvironment,
  type ControllerIdentity,
  READY_MS_MAX,
} from "./controller-base.ts";
import { FeatureValues, getFeatures, setFeatures } from "./controller-features.ts";
import { identify } from "./controller-identify.ts";
import { getLogPage } from "./controller-logs.ts";
import type { NvmeNamespace } from "./namespace.ts";
import { type Capabilities, SelectedCommandSet } from "./properties.ts";
import { reservationCommand } from "./reservation-commands.ts";
import { ReservationNotices } from "./reservation-notices.ts";
import type { NoticeType, ReservationOutcome, ReservationState } from "./reservation-rules.ts";
import type { NvmeReservations } from "./reservations.ts";
import { NvmeStatus } from "./status.ts";
import type { SubsystemView } from "./subsystem-view.ts";
import type { ControllerLimits, QueueLink, SlowCommand } from "./transport.ts";
import { encodeInstanceData, INSTANCE_BYTES, isClaiming, VendorOpcode } from "./vendor.ts";

export class NvmeController extends BaseController {
  readonly subsystem: SubsystemView;
  readonly limits: ControllerLimits;
  readonly features: FeatureValues = new FeatureValues();
  readonly notices: ReservationNotices = new ReservationNotices();
  protected readonly capabilities: Capabilities;
  /** Attached, removed, resized, since the host has read the list. */
  readonly #changed = new Set<number>();

  constructor(
    environment: ControllerEnvironment,
    subsystem: SubsystemView,
    identity: ControllerIdentity,
    admin: QueueLink,
  ) {
    super(environment, identity, admin);
    const { transferBytesMax, inCapsuleBytesMax, queueEntriesMax } = subsystem.options;
    this.subsystem = subsystem;
    this.limits = { transferBytesMax, inCapsuleBytesMax };
    this.capabilities = {
      queueEntriesMax,
      contiguousQueues: true,
      readyTimeoutMs: READY_MS_MAX,
      subsystemReset: false,
      nvmCommandSet: true,
      commandSets: true,
      adminOnly: false,
      readyWithMedia: false,
    };
  }

  // hot path
  override namespaceOf(nsid: number): NvmeNamespace | null {
    return this.subsystem.namespaceOf(nsid);
  }

  /** What the changed namespace list says, ascending. */
  changedNamespaces(): readonly number[] {
    return [...this.#changed].sort((a, b) => a - b);
  }

  changedNamespacesRead(): void {
    this.#changed.clear();
  }

  /** A namespace has come, gone, or has another size. */
  namespaceChanged(nsid: number): void {
    this.#changed.add(nsid);
    if ((this.events.config & AsyncEventConfig.namespaceAttribute) === 0) return;
    this.events.raise(
      AsyncEventType.notice,
      AsyncEventNotice.namespaceAttributeChanged,
      LogPage.changedNamespaces,
    );
  }

  /** Some namespace has another ANA state. */
  anaChanged(): void {
    if ((this.events.config & AsyncEventConfig.anaChange) === 0) return;
    this.events.raise(AsyncEventType.notice, AsyncEventNotice.anaChange, LogPage.ana);
  }

  /** Another host has changed the reservations of a namespace. */
  reservationNotice(nsid: number, type: NoticeType): void {
    if (this.notices.add(nsid, type)) this.#raiseNotice();
  }

  /** The host has read the oldest notice; it is told when there are more. */
  noticeRead(): void {
    this.notices.drop();
    if (!this.notices.isEmpty) this.#raiseNotice();
  }

  /**
   * Changes reservations by a command, and answers it. The association does not count as gone
   * before the change has been made.
   */
  changeReservations(
    command: SlowCommand,
    qid: number,
    reservations: NvmeReservations,
    decide: (state: ReservationState) => ReservationOutcome,
  ): void {
    this.holdOn();
    reservations.change({
      // What waited behind a save while its host came back must not be done any more.
      decide: (state) =>
        this.hasEnded
          ? { status: NvmeStatus.abortedSqDeletion, state, notices: [], aborted: [] }
          : decide(state),
      made: () => this.letGo(),
      done: (status) => {
        if (status === NvmeStatus.success) command.complete(status);
        else this.refuse(command, qid, status);
      },
    });
  }

  protected override isCommandSetAllowed(commandSet: number): boolean {
    return commandSet === SelectedCommandSet.nvm || commandSet === SelectedCommandSet.all;
  }

  protected override resetFeatures(): void {
    this.features.reset();
    this.notices.reset();
    this.#changed.clear();
  }

  protected override adminCommand(command: SlowCommand): void {
    switch (command.sqe.opcode) {
      case AdminOpcode.identify:
        identify(this, command);
        break;
      case AdminOpcode.getLogPage:
        getLogPage(this, command);
        break;
      case AdminOpcode.getFeatures:
        getFeatures(this, command);
        break;
      case AdminOpcode.setFeatures:
        setFeatures(this, command);
        break;
      case VendorOpcode.penstockInstance:
        this.#instance(command);
        break;
      case VendorOpcode.penstockClaim:
        this.#claim(command);
        break;
      default:
        this.refuse(command, 0, NvmeStatus.invalidOpcode);
    }
  }

  protected override ioCommand(command: SlowCommand): void {
    const qid = this.qidOf(command.queue);
    switch (command.sqe.opcode) {
      case IoOpcode.reservationRegister:
      case IoOpcode.reservationReport:
      case IoOpcode.reservationAcquire:
      case IoOpcode.reservationRelease:
        reservationCommand(this, qid, command);
        break;
      default:
        this.refuse(command, qid, NvmeStatus.invalidOpcode);
    }
  }

  #raiseNotice(): void {
    this.events.raise(
      AsyncEventType.ioCommandSet,
      AsyncEventIo.reservationLogAvailable,
      LogPage.reservationNotification,
    );
  }

  /** Penstock's own: which life of its volatile data a namespace is in. */
  #instance(command: SlowCommand): void {
    const namespace = this.namespaceOf(command.sqe.nsid);
    if (namespace === null) {
      this.refuse(command, 0, NvmeStatus.invalidNamespaceOrFormat);
    } else if (command.replyBytesMax < INSTANCE_BYTES) {
      this.refuse(command, 0, NvmeStatus.dataSglLengthInvalid);
    } else {
      const { instanceId } = namespace.device.info;
      command.complete(NvmeStatus.success, 0, encodeInstanceData({ instanceId, epoch: 0 }));
    }
  }

  /** Penstock's own: one host at a time has a namespace in a mirror. */
  #claim(command: SlowCommand): void {
    const namespace = this.namespaceOf(command.sqe.nsid);
    if (namespace === null) {
      this.refuse(command, 0, NvmeStatus.invalidNamespaceOrFormat);
    } else if (!isClaiming(command.sqe)) {
      namespace.release(this);
      command.complete(NvmeStatus.success);
    } else if (namespace.claim(this)) {
      command.complete(NvmeStatus.success);
    } else {
      this.refuse(command, 0, NvmeStatus.reservationConflict);
    }
  }
}
