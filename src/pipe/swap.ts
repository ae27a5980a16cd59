/**
 * The one step of live re-plumbing: what is below a joint is exchanged while I/O runs.
 *
 *   hold new requests --> drain those under way, for so long --> swap --> resume
 *                                        +--took too long--> resume, nothing changed
 */

import type { Device } from "../block/device.ts";
import type { Joint } from "../block/joint.ts";
import { PenstockError } from "../util/errors.ts";

export interface SwapOptions {
  /** The most that requests under way may take. */
  readonly timeoutMs: number;
  /** What is below now is taken out: it need not hold requests back any longer. */
  readonly hurry: boolean;
  /** Others that use what is below now: held too while it is drained, then they go on. */
  readonly others: readonly Joint[];
}

/** @throws PenstockError `replumb-timeout`, `replumb-busy` */
export async function swapBelow(
  joint: Joint,
  device: Device,
  { timeoutMs, hurry, others }: SwapOptions,
): Promise<void> {
  const { below } = joint;
  if (joint.isHeld) {
    const message = `another change above ${below.info.name} is under way`;
    throw new PenstockError({ code: "replumb-busy", message });
  }
  const held = [joint, ...others];
  for (const each of held) each.hold();
  try {
    if (hurry) below.hurry();
    await drained(below, timeoutMs);
    joint.connect(device);
  } finally {
    for (const each of held) each.resume();
  }
}

async function drained(device: Device, timeoutMs: number): Promise<void> {
  const { clock } = device.reactor;
  let isLate = false;
  await new Promise<void>((resolve) => {
    const timer = clock.startTimer(timeoutMs, () => {
      isLate = true;
      device.reactor.deliverLater(resolve);
    });
    void device.whenIdle().then(() => {
      timer.cancel();
      resolve();
    });
  });
  // Requests may have ended in the same turn: what counts is whether any is left.
  if (!isLate || device.inFlight === 0) return;
  const { name } = device.info;
  const message =
    `${device.inFlight} requests of ${name} did not end within ${timeoutMs} ms: ` +
    "the pipe is as it was before";
  throw new PenstockError({
    code: "replumb-timeout",
    message,
    details: { device: name, inFlight: device.inFlight, timeoutMs },
  });
}
