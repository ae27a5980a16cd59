/**
 * A mirror over given devices that closes them after itself, as the composer does.
 */

import type { Device } from "../block/device.ts";
import { Joint } from "../block/joint.ts";
import { Mirror, type MirrorOptions } from "../nexus/mirror.ts";
import type { Reactor } from "../reactor/reactor.ts";

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
