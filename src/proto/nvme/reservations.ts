/**
 * NvmeReservations: the reservations of one namespace: current, durable where a host asks for it,
 * and ready to be asked by every command of every host.
 *
 * Changes run one after the other: the rules decide, the store saves, then the new state counts,
 * then hosts are told, then the command is answered. A change whose save fails does not count.
 *
 *   change() -> waiting --first--> deciding --persists--> saving --> current --> answered
 */

import { ReservationType } from "./constants.ts";
import {
  type HostId,
  NO_RESERVATION,
  refusesRead,
  refusesWrite,
  type ReservationNotice,
  type ReservationOutcome,
  type ReservationState,
} from "./reservation-rules.ts";
import type { ReservationStore } from "./reservation-store.ts";
import { NvmeStatus } from "./status.ts";
import { Access } from "./transport.ts";

export interface ReservationHooks {
  /** Hosts to be told, by their controllers' notification logs. */
  notify(notice: ReservationNotice): void;
  /** Ends the commands of those hosts on the namespace, then calls `done`, at once if none. */
  abort(hosts: readonly HostId[], done: () => void): void;
  /** Runs it outside of the turn, where promises may be used. */
  deliverLater(step: () => void): void;
}

export interface ReservationChange {
  /** Called with the state that is current when all changes before it have ended. */
  decide(state: ReservationState): ReservationOutcome;
  /** The outcome is durable and current, or never will be; once. */
  made(): void;
  /** ... and hosts' commands that were to end have ended; once, after `made`. */
  done(status: number): void;
}

const REFUSES_READS = 1 << Access.read;
const REFUSES_WRITES = 1 << Access.write;

export class NvmeReservations {
  /** False: no command need be checked. Hot path. */
  isReserved = false;
  /** Why nothing can be stored or known, if so: then all writes are refused. */
  readonly trouble: string | null;
  readonly #store: ReservationStore | null;
  #state: ReservationState;
  #hooks: ReservationHooks | null = null;
  #hosts: readonly (HostId | null)[] = [];
  /** By host index: what is refused, as bits of `Access`. */
  #refusals: Uint8Array = new Uint8Array(0);
  /** What is refused to a host that is not in the table. */
  #refusalOfOthers = 0;
  readonly #waiting: ReservationChange[] = [];
  #isSaving = false;

  /** Loads what the store has; without one, reservations end with the process. Never rejects. */
  static async open(store: ReservationStore | null): Promise<NvmeReservations> {
    try {
      const loaded = store === null ? null : await store.load();
      // What a host did not ask to persist ends with the process that granted it.
      const isKept = loaded?.persists === true;
      return new NvmeReservations(store, isKept ? loaded : NO_RESERVATION, null);
    } catch (thrown) {
      const trouble = thrown instanceof Error ? thrown.message : String(thrown);
      return new NvmeReservations(store, NO_RESERVATION, trouble);
    }
  }

  /** @param trouble not null: what was stored cannot be known, so all writes are refused */
  constructor(
    store: ReservationStore | null = null,
    state: ReservationState = NO_RESERVATION,
    trouble: string | null = null,
  ) {
    this.#store = store;
    this.#state = state;
    this.trouble = trouble;
    this.#derive();
  }

  get state(): ReservationState {
    return this.#state;
  }

  /** True: registrations and reservations can be made to outlive the process. */
  get canPersist(): boolean {
    return this.#store !== null && this.trouble === null;
  }

  /** By the subsystem, once. */
  connect(hooks: ReservationHooks): void {
    this.#hooks = hooks;
  }

  /** The hosts by index; called again whenever one comes or goes. */
  setHosts(hosts: readonly (HostId | null)[]): void {
    this.#hosts = hosts;
    this.#derive();
  }

  /** True: "reservation conflict". Hot path, and only asked where `isReserved`. */
  refuses(hostIndex: number, access: Access): boolean {
    const refusal = this.#refusals[hostIndex] ?? this.#refusalOfOthers;
    return (refusal & (1 << access)) !== 0;
  }

  /** Decides, then makes the outcome durable and current; in this call or later. */
  change(change: ReservationChange): void {
    this.#waiting.push(change);
    this.#next();
  }

  #next(): void {
    while (!this.#isSaving) {
      const change = this.#waiting.shift();
      if (change === undefined) return;
      if (this.trouble !== null) {
        fail(change, NvmeStatus.internalError);
        continue;
      }
      const outcome = change.decide(this.#state);
      const { state } = outcome;
      const isChanged = state !== this.#state;
      if (isChanged && state.persists && this.#store === null) {
        fail(change, NvmeStatus.invalidField);
      } else if (isChanged && this.#store !== null && (state.persists || this.#state.persists)) {
        this.#save(this.#store, change, outcome);
      } else {
        this.#commit(change, outcome);
      }
    }
  }

  #save(store: ReservationStore, change: ReservationChange, outcome: ReservationOutcome): void {
    this.#isSaving = true;
    const ended = (hasFailed: boolean): void => {
      this.#isSaving = false;
      if (hasFailed) fail(change, NvmeStatus.internalError);
      else this.#commit(change, outcome);
      this.#next();
    };
    const save = (): void => {
      store.save(outcome.state).then(
        () => ended(false),
        () => ended(true),
      );
    };
    if (this.#hooks === null) save();
    else this.#hooks.deliverLater(save);
  }

  #commit(change: ReservationChange, outcome: ReservationOutcome): void {
    this.#state = outcome.state;
    this.#derive();
    change.made();
    const done = (): void => change.done(outcome.status);
    const hooks = this.#hooks;
    if (hooks === null) {
      done();
      return;
    }
    for (const notice of outcome.notices) {
      if (notice.hosts.length > 0) hooks.notify(notice);
    }
    if (outcome.aborted.length === 0) done();
    else hooks.abort(outcome.aborted, done);
  }

  #derive(): void {
    const isUnknown = this.trouble !== null;
    this.isReserved = isUnknown || this.#state.type !== ReservationType.none;
    this.#refusalOfOthers = isUnknown ? REFUSES_WRITES : this.#refusalOf(null);
    this.#refusals = Uint8Array.from(this.#hosts, (host) =>
      isUnknown ? REFUSES_WRITES : this.#refusalOf(host),
    );
  }

  #refusalOf(host: HostId | null): number {
    const reads = refusesRead(this.#state, host) ? REFUSES_READS : 0;
    return reads | (refusesWrite(this.#state, host) ? REFUSES_WRITES : 0);
  }
}

function fail(change: ReservationChange, status: number): void {
  change.made();
  change.done(status);
}
