/**
 * Mirrors for tests: over given devices, closed after the mirror as the composer does; or over
 * scripted children in memory, with all that a test looks at.
 */

import type { Device } from "../block/device.ts";
import { Joint } from "../block/joint.ts";
import { PromiseDevice } from "../block/promise-device.ts";
import { MallocDevice } from "../devices/malloc.ts";
import { Mirror } from "../nexus/mirror.ts";
import type { MirrorEvent, MirrorOptions } from "../nexus/mirror-options.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { type TestReactorOptions, withReactor } from "../reactor/test-reactor.ts";
import { uuidOfName } from "../util/uuid.ts";
import { ScriptedFilter, type ScriptedOptions } from "./scripted-filter.ts";

const SIZE_BYTES = 2 ** 20;

/** @param options as of `Mirror.open`; all children are local */
export async function openMirror(
  reactor: Reactor,
  devices: readonly Device[],
  options: Partial<MirrorOptions> = {},
): Promise<Mirror> {
  const legs = devices.map((device) => ({ joint: new Joint(device), isLocal: true }));
  const mirror = await Mirror.open(reactor, { name: "mirror()", legs, ...options });
  const closeMirror = mirror.close.bind(mirror);
  let closed: Promise<void> | null = null;
  mirror.close = () => {
    closed ??= closeMirror().then(async () => {
      for (const device of devices) await device.close();
    });
    return closed;
  };
  return mirror;
}

export interface MirrorRig {
  readonly reactor: Reactor;
  readonly seed: number;
  readonly mirror: Mirror;
  readonly legs: readonly ScriptedFilter[];
  /** What the legs stand on: their media. */
  readonly media: readonly MallocDevice[];
  readonly device: PromiseDevice;
  /** Since the mirror was opened. */
  readonly events: MirrorEvent[];
}

export interface MirrorRigOptions extends Partial<MirrorOptions> {
  readonly legOptions?: readonly ScriptedOptions[];
  readonly reactorOptions?: TestReactorOptions;
}

/** Runs `body` with a mirror of `count` scripted children of 1 MiB on the fake level. */
export function withMirror(
  count: number,
  options: MirrorRigOptions,
  body: (rig: MirrorRig) => Promise<void>,
): Promise<void> {
  const { legOptions, reactorOptions = {}, ...mirrorOptions } = options;
  const run = async ({ reactor, seed }: { reactor: Reactor; seed: number }): Promise<void> => {
    const events: MirrorEvent[] = [];
    const media: MallocDevice[] = [];
    for (let index = 0; index < count; index++) {
      const name = `leg${index}`;
      const settings = { name, sizeBytes: SIZE_BYTES, instanceId: uuidOfName(name) };
      media.push(await MallocDevice.open(reactor, settings));
    }
    const legs = media.map((each, index) => new ScriptedFilter(each, legOptions?.[index]));
    const onEvent = (event: MirrorEvent): void => void events.push(event);
    const mirror = await openMirror(reactor, legs, { onEvent, ...mirrorOptions });
    events.length = 0;
    const device = new PromiseDevice(mirror);
    await body({ reactor, seed, mirror, legs, media, device, events });
    await device.close();
  };
  return withReactor("fake", run, reactorOptions);
}

/** The kinds of the children's faults, or "in-sync". */
export function statesOf(mirror: Mirror): string[] {
  return mirror.children.map(({ state }) =>
    state.name === "in-sync" ? "in-sync" : state.fault.kind,
  );
}

export function sleepOn(reactor: Reactor, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    reactor.clock.startTimer(delayMs, () => reactor.deliverLater(resolve));
  });
}
