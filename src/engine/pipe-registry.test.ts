// Tests of the registry's ends while nothing can be stored: a mirror that has taken a leg out waits
// for the store, and closing a pipe waits for its mirror.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import type { PipeOpenOptions, ServedPipe } from "../pipe/pipe-host.ts";
import type { OutLeg } from "../pipe/stage-plan.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";
import { type PipeOpener, PipeRegistry } from "./pipe-registry.ts";
import type { StoredPipe } from "./pipe-store.ts";

const TEXT = "mirror(malloc:///a?size=1MiB, malloc:///b?size=1MiB) | nbd://127.0.0.1:0/m";
const HOST_ID = 7;
const STOPS_WITHIN_MS = 2000;

const LEG: OutLeg = {
  leg: "1.1",
  fault: { kind: "media-error", reason: "scripted", time: "0ms", operation: "write", offset: 0 },
  // Kept as they are by those who are tested here.
  info: {} as OutLeg["info"],
  operations: {} as OutLeg["operations"],
};

/** A host with one pipe, whose mirror lets no close end before what it has to tell is heard. */
class Rig {
  isFull = false;
  /** An opening that fails after its mirror has taken a leg out. */
  failsToOpen = false;
  losesLegWhileOpening = false;
  stored: StoredPipe | null = null;
  /** Of time that passes only for those who wait for it. */
  nowMs = 0;
  readonly told: string[] = [];
  readonly registry: PipeRegistry;
  #telling: Promise<unknown> = Promise.resolve();

  constructor() {
    const host: Pick<PipeOpener, "open" | "closePipe"> = {
      open: (text, options) => this.#open(text, options),
      closePipe: async () => void (await this.#telling),
    };
    this.registry = new PipeRegistry({
      host: host as PipeOpener,
      store: {
        load: async () => ({ entries: [], ignored: [] }),
        reservationsPath: (name) => `/nowhere/${name}.reservations`,
        put: async (pipe) => this.#put(pipe),
        delete: async () => {
          this.stored = null;
        },
      },
      events: { add: () => undefined },
      clock: {
        nowMs: () => this.nowMs,
        startTimer: (delayMs, callback) => {
          const timer = setImmediate(() => {
            this.nowMs += delayMs;
            callback();
          });
          return { cancel: () => clearImmediate(timer) };
        },
      },
      nowMs: () => this.nowMs,
      makeUuid: () => "11111111-2222-4333-8444-555555555555",
    });
  }

  loseLeg(): void {
    this.#telling = this.registry.legOut(HOST_ID, LEG).then(
      () => this.told.push("stored"),
      (thrown) => this.told.push(toPenstockError(thrown).code),
    );
  }

  /** Writes that depend on it have been acknowledged, or never will be. */
  async legIsDecided(): Promise<void> {
    await this.#telling;
  }

  async #open(text: string, options?: PipeOpenOptions): Promise<ServedPipe> {
    options?.onId?.(HOST_ID);
    if (this.losesLegWhileOpening) this.loseLeg();
    if (this.failsToOpen) {
      options?.onFailing?.();
      await this.#telling;
      throw new PenstockError({ code: "port-in-use", message: "scripted" });
    }
    return { id: HOST_ID, text, uri: "nbd://127.0.0.1:10809/m" };
  }

  #put(pipe: StoredPipe): void {
    if (this.isFull) throw new PenstockError({ code: "store-failed", message: "ENOSPC" });
    this.stored = pipe;
  }
}

for (const failsToOpen of [false, true]) {
  const when = failsToOpen ? "it cannot be opened" : "its store is full";
  test(`a creation ends with its error while a leg goes out and ${when}`, async () => {
    const rig = new Rig();
    rig.isFull = true;
    rig.failsToOpen = failsToOpen;
    rig.losesLegWhileOpening = true;
    const code = failsToOpen ? "port-in-use" : "store-failed";
    await rejects(rig.registry.create("a", TEXT), { code });
    await rig.legIsDecided();
    deepStrictEqual(rig.told, ["pipe-not-found"]);
    deepStrictEqual(rig.registry.list(), []);
    rig.isFull = false;
    rig.failsToOpen = false;
    rig.losesLegWhileOpening = false;
    await rig.registry.create("a", TEXT);
    strictEqual(rig.stored?.outLegs, undefined, "the next one of that name is another");
  });
}

test("a leg that goes out while its pipe is created is stored with it", async () => {
  const rig = new Rig();
  rig.losesLegWhileOpening = true;
  await rig.registry.create("a", TEXT);
  await rig.legIsDecided();
  deepStrictEqual(rig.told, ["stored"]);
  deepStrictEqual(rig.stored?.outLegs, [LEG]);
});

test("a leg that is out is stored as soon as there is room", async () => {
  const rig = new Rig();
  await rig.registry.create("a", TEXT);
  rig.isFull = true;
  rig.loseLeg();
  while (rig.nowMs < 10 * STOPS_WITHIN_MS) await new Promise(setImmediate);
  deepStrictEqual(rig.told, [], "nothing is decided meanwhile");
  rig.isFull = false;
  const freeSinceMs = rig.nowMs;
  await rig.legIsDecided();
  deepStrictEqual(rig.told, ["stored"]);
  deepStrictEqual(rig.stored?.outLegs, [LEG]);
  ok(rig.nowMs - freeSinceMs <= STOPS_WITHIN_MS, `${rig.nowMs - freeSinceMs} ms`);
});

test("a pipe whose leg-out cannot be stored is deleted soon", async () => {
  const rig = new Rig();
  await rig.registry.create("a", TEXT);
  rig.isFull = true;
  rig.loseLeg();
  while (rig.nowMs < 10 * STOPS_WITHIN_MS) await new Promise(setImmediate);
  const sinceMs = rig.nowMs;
  await rig.registry.delete("a");
  ok(rig.nowMs - sinceMs <= STOPS_WITHIN_MS, `${rig.nowMs - sinceMs} ms`);
  deepStrictEqual(rig.told, ["store-failed"]);
  strictEqual(rig.stored, null);
  deepStrictEqual(rig.registry.list(), []);
});

test("a registry whose pipe's leg-out cannot be stored is closed soon", async () => {
  const rig = new Rig();
  await rig.registry.create("a", TEXT);
  rig.isFull = true;
  rig.loseLeg();
  while (rig.nowMs < 10 * STOPS_WITHIN_MS) await new Promise(setImmediate);
  const sinceMs = rig.nowMs;
  await rig.registry.close();
  // As the engine does: the host closes what is open, after the registry.
  await rig.legIsDecided();
  ok(rig.nowMs - sinceMs <= STOPS_WITHIN_MS, `${rig.nowMs - sinceMs} ms`);
  deepStrictEqual(rig.told, ["store-failed"]);
  strictEqual(rig.stored?.outLegs, undefined);
});
