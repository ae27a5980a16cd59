/**
 * PoolChurn: replicas of one pool that come, are written, and go, and what must be there after the
 * engine was killed: every replica whose creation was answered and whose end was not asked for,
 * with all that was acknowledged; of the one that was on its way, either.
 *
 *   run(engine) --engine dies--> settled --next engine--> recover(engine) -> run ...
 *
 * One change is under way at a time, beside the writes to all replicas. Owned by one test.
 */

import { parseEngineAddress } from "../api/engine-address.ts";
import { askEngine, type EngineClient } from "../api/engine-client.ts";
import { assert } from "../util/assert.ts";
import type { Prng } from "../util/prng.ts";
import { NbdRawClient } from "./nbd-raw-client.ts";
import type { PenstockProcess } from "./penstock-process.ts";
import { VerifiedWriter } from "./verified-writer.ts";

const REPLICAS_MIN = 2;
const REPLICAS_MAX = 5;
const DEPTH = 8;

export interface PoolChurnOptions {
  readonly pool: string;
  /** Of each replica, bytes. */
  readonly sizeBytes: number;
  readonly prng: Prng;
}

interface KnownReplica {
  readonly name: string;
  readonly writer: VerifiedWriter;
}

/** One that is being written. */
interface Load {
  readonly replica: KnownReplica;
  readonly client: NbdRawClient;
  readonly ended: Promise<void>;
}

export class PoolChurn {
  /** Replicas made and ended so far. */
  changeCount = 0;
  readonly #options: PoolChurnOptions;
  readonly #known = new Map<string, KnownReplica>();
  /** Being made or ended when the engine died. */
  #unsure: KnownReplica | null = null;
  #loads: Load[] = [];
  #acknowledgedBefore = 0;
  #lastName = 0;

  constructor(options: PoolChurnOptions) {
    this.#options = options;
  }

  /** Writes acknowledged so far, those of replicas that have gone included. */
  get acknowledgedCount(): number {
    const counts = [...this.#known.values()].map(({ writer }) => writer.acknowledgedCount);
    return counts.reduce((sum, count) => sum + count, this.#acknowledgedBefore);
  }

  /** Goes on until the engine has died; then all is settled. Rejects at what may not happen. */
  async run(engine: PenstockProcess): Promise<void> {
    let isDead = false;
    void engine.exited.then(() => {
      isDead = true;
    });
    try {
      for (const replica of this.#known.values()) await this.#begin(engine, replica);
      for (;;) await this.#change(engine);
    } catch (thrown) {
      // It may be gone a moment before we hear of it.
      await Promise.race([engine.exited, new Promise((resolve) => setTimeout(resolve, 2000))]);
      if (!isDead) throw thrown;
    }
    for (const { ended } of this.#loads) await ended;
    this.#loads = [];
  }

  /** Compares what the next engine has with what must be there, byte for byte. */
  async recover(engine: PenstockProcess): Promise<void> {
    const names = await this.#namesOf(engine);
    if (this.#unsure !== null) {
      this.#known.delete(this.#unsure.name);
      if (names.includes(this.#unsure.name)) this.#known.set(this.#unsure.name, this.#unsure);
      this.#unsure = null;
    }
    const expected = [...this.#known.keys()].sort();
    assert(
      names.join() === expected.join(),
      `found the replicas ${names.join()}, expected ${expected.join()}`,
    );
    for (const { name, writer } of this.#known.values()) {
      const client = await NbdRawClient.open(await this.#share(engine, name));
      const content = await client.read(0, this.#options.sizeBytes);
      await client.disconnect();
      try {
        writer.check(content);
      } catch (cause) {
        throw new Error(`replica ${name}: ${String(cause)}`, { cause });
      }
    }
  }

  /** The pool is listed before it is open. */
  async #namesOf(engine: PenstockProcess): Promise<readonly string[]> {
    const { pool } = this.#options;
    for (;;) {
      const { replicas } = await ask(engine, (each) => each.replicas.listReplicas({ pool })).catch(
        (thrown: unknown) => {
          if ((thrown as { code?: string }).code !== "pool-not-ready") throw thrown;
          return { replicas: null };
        },
      );
      if (replicas !== null) return replicas.map(({ name }) => name).sort();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async #change(engine: PenstockProcess): Promise<void> {
    const count = this.#known.size;
    const { prng } = this.#options;
    const makes = count <= REPLICAS_MIN || (count < REPLICAS_MAX && prng.below(2) === 0);
    await (makes ? this.#make(engine) : this.#end(engine));
    this.changeCount++;
  }

  async #make(engine: PenstockProcess): Promise<void> {
    const { pool, sizeBytes, prng } = this.#options;
    const name = `v${++this.#lastName}`;
    const own = prng.fork(name);
    const writer = new VerifiedWriter({ lengthBytes: sizeBytes, prng: own, depth: DEPTH });
    const replica: KnownReplica = { name, writer };
    this.#unsure = replica;
    const thin = own.below(2) === 0;
    const request = { pool, name, sizeBytes: BigInt(sizeBytes), thin };
    await ask(engine, ({ replicas }) => replicas.createReplica(request));
    this.#known.set(name, replica);
    this.#unsure = null;
    await this.#begin(engine, replica);
  }

  /** While all others are being written. */
  async #end(engine: PenstockProcess): Promise<void> {
    const load = this.#options.prng.pick(this.#loads);
    load.replica.writer.stop();
    await load.ended;
    await load.client.disconnect();
    this.#loads.splice(this.#loads.indexOf(load), 1);
    this.#unsure = load.replica;
    const { name, writer } = load.replica;
    const { pool } = this.#options;
    await ask(engine, ({ replicas }) => replicas.destroyReplica({ pool, name }));
    this.#known.delete(name);
    this.#acknowledgedBefore += writer.acknowledgedCount;
    this.#unsure = null;
  }

  async #begin(engine: PenstockProcess, replica: KnownReplica): Promise<void> {
    const client = await NbdRawClient.open(await this.#share(engine, replica.name));
    this.#loads.push({ replica, client, ended: replica.writer.run(client) });
  }

  /** Where it is served; it may have been made and not shared yet. */
  async #share(engine: PenstockProcess, name: string): Promise<string> {
    const { pool } = this.#options;
    for (;;) {
      const { replica } = await ask(engine, (each) => each.replicas.getReplica({ pool, name }));
      if (replica !== undefined && replica.shareUri !== "") return replica.shareUri;
      const share = `nbd://127.0.0.1:0/${name}`;
      const shared = await ask(engine, ({ replicas }) =>
        replicas.shareReplica({ pool, name, share }),
      ).catch((thrown: unknown) => {
        // Its share of before comes back meanwhile.
        if ((thrown as { code?: string }).code !== "replica-shared") throw thrown;
        return null;
      });
      if (shared?.replica?.shareUri) return shared.replica.shareUri;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

function ask<T>({ uri }: PenstockProcess, call: (client: EngineClient) => Promise<T>): Promise<T> {
  return askEngine(parseEngineAddress(uri), call);
}
