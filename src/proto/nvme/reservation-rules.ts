/**
 * The rules of reservations, pure: a state and a command give a status, the next state and who has
 * to be told. Nothing here waits or stores; `NvmeReservations` makes a next state durable and
 * current.
 *
 *   nobody registered --register--> registrants --acquire--> reserved (type 1-6, holder)
 *      ^ clear, preempt, unregister       ^ release, unregister of the holder |
 *
 * spec: NVMe Base 2.0 8.19 (reservations), 7.2, 7.3, 7.5 (the commands)
 */

import { ReservationType } from "./constants.ts";
import { NvmeStatus } from "./status.ts";

/** A host's 128-bit identifier: UUID text in lower case. */
export type HostId = string;

export const RegisterAction = { register: 0, unregister: 1, replace: 2 } as const;
export const AcquireAction = { acquire: 0, preempt: 1, preemptAndAbort: 2 } as const;
export const ReleaseAction = { release: 0, clear: 1 } as const;

/** Hosts that may be registered with one namespace at a time. */
export const REGISTRANTS_MAX = 64;

/** All of it is kept over a restart, where `persists` says so. Never changed in place. */
export interface ReservationState {
  /** Counts registrations, preemptions and clears; wraps at 2^32. */
  readonly generation: number;
  readonly type: ReservationType;
  /** Who holds it; null when nobody does, or all registrants do (types 5 and 6). */
  readonly holder: HostId | null;
  /** Keys by host: 64 bits, never 0. */
  readonly registrants: ReadonlyMap<HostId, bigint>;
  /** "Persist through power loss". */
  readonly persists: boolean;
}

export const NO_RESERVATION: ReservationState = {
  generation: 0,
  type: ReservationType.none,
  holder: null,
  registrants: new Map(),
  persists: false,
};

/** What other hosts are told of. spec: NVMe Base 2.0 5.16.1.24, the log page's types */
export const NoticeType = {
  registrationPreempted: 1,
  reservationReleased: 2,
  reservationPreempted: 3,
} as const;
export type NoticeType = (typeof NoticeType)[keyof typeof NoticeType];

export interface ReservationNotice {
  readonly type: NoticeType;
  readonly hosts: readonly HostId[];
}

/** What a command comes to. */
export interface ReservationOutcome {
  readonly status: number;
  /** The same object as before where nothing changes. */
  readonly state: ReservationState;
  readonly notices: readonly ReservationNotice[];
  /** Hosts whose commands are to end before the answer (preempt and abort). */
  readonly aborted: readonly HostId[];
}

export interface RegisterRequest {
  readonly action: number;
  readonly ignoreExistingKey: boolean;
  /** 0: as it is; 2: does not persist; 3: persists. */
  readonly changePersistence: number;
  readonly currentKey: bigint;
  readonly newKey: bigint;
}

export interface AcquireRequest {
  readonly action: number;
  readonly ignoreExistingKey: boolean;
  readonly type: number;
  readonly currentKey: bigint;
  readonly preemptKey: bigint;
}

export interface ReleaseRequest {
  readonly action: number;
  readonly ignoreExistingKey: boolean;
  readonly type: number;
  readonly currentKey: bigint;
}

/** True: the host is the holder, or one of them. */
export function holds(state: ReservationState, host: HostId): boolean {
  if (state.type === ReservationType.none) return false;
  return isOfAll(state.type) ? state.registrants.has(host) : state.holder === host;
}

/** True: "reservation conflict" for a command that reads. spec: NVMe Base 2.0 figure 430 */
export function refusesRead(state: ReservationState, host: HostId | null): boolean {
  switch (state.type) {
    case ReservationType.exclusiveAccess:
      return state.holder !== host;
    case ReservationType.exclusiveAccessRegistrantsOnly:
    case ReservationType.exclusiveAccessAllRegistrants:
      return host === null || !state.registrants.has(host);
    default:
      return false;
  }
}

/** As `refusesRead`, for a command that writes or flushes. */
export function refusesWrite(state: ReservationState, host: HostId | null): boolean {
  if (state.type === ReservationType.none) return false;
  if (state.type === ReservationType.writeExclusive) return state.holder !== host;
  if (state.type === ReservationType.exclusiveAccess) return state.holder !== host;
  return host === null || !state.registrants.has(host);
}

/** spec: NVMe Base 2.0 7.3 */
export function register(
  state: ReservationState,
  host: HostId,
  request: RegisterRequest,
): ReservationOutcome {
  const { action, changePersistence, newKey } = request;
  const known = state.registrants.get(host);
  const isKnownAction = action <= RegisterAction.replace;
  if (!isKnownAction || changePersistence === 1) return refused(state, NvmeStatus.invalidField);
  if (action !== RegisterAction.unregister && newKey === 0n) {
    return refused(state, NvmeStatus.invalidField);
  }
  if (action === RegisterAction.register) {
    // The same key again is no error; another one is for the replace action.
    if (known !== undefined && known !== newKey) return conflict(state);
  } else if (known === undefined || !(request.ignoreExistingKey || known === request.currentKey)) {
    return conflict(state);
  }
  const persists = changePersistence === 0 ? state.persists : changePersistence === 3;
  const base: ReservationState = { ...state, persists, generation: next(state.generation) };
  if (action === RegisterAction.unregister) return without(base, [host], host);
  if (known === undefined && state.registrants.size >= REGISTRANTS_MAX) {
    return refused(state, NvmeStatus.operationDenied);
  }
  return changed({ ...base, registrants: new Map([...state.registrants, [host, newKey]]) });
}

/** spec: NVMe Base 2.0 7.2 */
export function acquire(
  state: ReservationState,
  host: HostId,
  request: AcquireRequest,
): ReservationOutcome {
  const { action, ignoreExistingKey, type } = request;
  const isValid = action <= AcquireAction.preemptAndAbort && !ignoreExistingKey && isType(type);
  if (!isValid) return refused(state, NvmeStatus.invalidField);
  if (!isKeyOf(state, host, request.currentKey)) return conflict(state);
  if (action !== AcquireAction.acquire) return preempt(state, host, request, type);
  if (state.type === ReservationType.none) return changed(held(state, type, host));
  return holds(state, host) && state.type === type ? changed(state) : conflict(state);
}

/** spec: NVMe Base 2.0 7.5 */
export function release(
  state: ReservationState,
  host: HostId,
  request: ReleaseRequest,
): ReservationOutcome {
  const { action, ignoreExistingKey } = request;
  if (action > ReleaseAction.clear || ignoreExistingKey) {
    return refused(state, NvmeStatus.invalidField);
  }
  if (!isKeyOf(state, host, request.currentKey)) return conflict(state);
  if (action === ReleaseAction.clear) {
    const hosts = others(state, host);
    const cleared = { ...state, registrants: new Map<HostId, bigint>() };
    return changed({ ...released(cleared), generation: next(state.generation) }, [
      { type: NoticeType.reservationPreempted, hosts },
    ]);
  }
  // Nothing to release, or not one's own: no effect, and no error.
  if (!holds(state, host)) return changed(state);
  if (request.type !== state.type) return refused(state, NvmeStatus.invalidField);
  return changed(released(state), releaseNotices(state, host));
}

/** spec: NVMe Base 2.0 8.19.7 */
function preempt(
  state: ReservationState,
  host: HostId,
  { action, preemptKey }: AcquireRequest,
  type: ReservationType,
): ReservationOutcome {
  const base = { ...state, generation: next(state.generation) };
  const matching = [...state.registrants].filter(([, key]) => key === preemptKey);
  const hosts = matching.map(([each]) => each);
  const takes = takesOver(state, preemptKey);
  if (takes === null) return refused(state, NvmeStatus.invalidField);
  let removed = hosts;
  let outcome: ReservationOutcome;
  if (takes) {
    // The preempting host stays registered, also when its key is the one that goes.
    const isOfEverybody = isOfAll(state.type);
    removed = isOfEverybody ? others(state, host) : hosts.filter((each) => each !== host);
    const registrants = keep(state.registrants, removed);
    const state2 = held({ ...base, registrants }, type, host);
    const remaining = others(state2, host);
    const notices: ReservationNotice[] =
      state.type === type ? [] : [{ type: NoticeType.reservationReleased, hosts: remaining }];
    outcome = changed(state2, notices);
  } else {
    if (hosts.length === 0) return conflict(state);
    outcome = without(base, hosts, host);
  }
  const gone = removed.filter((each) => each !== host);
  const notice: ReservationNotice = { type: NoticeType.registrationPreempted, hosts: gone };
  const aborted = action === AcquireAction.preemptAndAbort ? removed : [];
  return { ...outcome, notices: [notice, ...outcome.notices], aborted };
}

/** Whether a preemption with that key takes the reservation; null: that key makes no sense. */
function takesOver(state: ReservationState, preemptKey: bigint): boolean | null {
  if (state.type === ReservationType.none) return false;
  if (isOfAll(state.type)) return preemptKey === 0n;
  if (preemptKey === 0n) return null;
  return state.holder !== null && state.registrants.get(state.holder) === preemptKey;
}

/** Registrations of `hosts` end; the reservation too, when nobody holds it any more. */
function without(
  state: ReservationState,
  hosts: readonly HostId[],
  actor: HostId,
): ReservationOutcome {
  const registrants = keep(state.registrants, hosts);
  const left = { ...state, registrants };
  if (state.type === ReservationType.none) return changed(left);
  const isReleased = isOfAll(state.type)
    ? registrants.size === 0
    : state.holder !== null && !registrants.has(state.holder);
  return isReleased ? changed(released(left), releaseNotices(left, actor)) : changed(left);
}

/** Those who are registered learn that a reservation that admitted them is gone. */
function releaseNotices(state: ReservationState, actor: HostId): ReservationNotice[] {
  if (state.type <= ReservationType.exclusiveAccess) return [];
  return [{ type: NoticeType.reservationReleased, hosts: others(state, actor) }];
}

function held(state: ReservationState, type: ReservationType, host: HostId): ReservationState {
  return { ...state, type, holder: isOfAll(type) ? null : host };
}

function released(state: ReservationState): ReservationState {
  return { ...state, type: ReservationType.none, holder: null };
}

function keep(
  registrants: ReadonlyMap<HostId, bigint>,
  removed: readonly HostId[],
): Map<HostId, bigint> {
  return new Map([...registrants].filter(([host]) => !removed.includes(host)));
}

function others(state: ReservationState, host: HostId): HostId[] {
  return [...state.registrants.keys()].filter((each) => each !== host);
}

function isKeyOf(state: ReservationState, host: HostId, key: bigint): boolean {
  return state.registrants.get(host) === key;
}

function isOfAll(type: ReservationType): boolean {
  return (
    type === ReservationType.writeExclusiveAllRegistrants ||
    type === ReservationType.exclusiveAccessAllRegistrants
  );
}

function isType(type: number): type is ReservationType {
  return (
    type >= ReservationType.writeExclusive && type <= ReservationType.exclusiveAccessAllRegistrants
  );
}

function next(generation: number): number {
  return (generation + 1) % 2 ** 32;
}

function refused(state: ReservationState, status: number): ReservationOutcome {
  return { status, state, notices: [], aborted: [] };
}

function conflict(state: ReservationState): ReservationOutcome {
  return refused(state, NvmeStatus.reservationConflict);
}

function changed(
  state: ReservationState,
  notices: readonly ReservationNotice[] = [],
): ReservationOutcome {
  return { status: NvmeStatus.success, state, notices, aborted: [] };
}
