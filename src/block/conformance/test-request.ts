/**
 * TestRequest: a request that checks how it is completed: once per submit, outside of any submit,
 * with a known status. Awaited by the conformance tests, reused as the product does.
 */

import type { BufferPool } from "../../reactor/buffer-pool.ts";
import { type MemoryPin, Request } from "../request.ts";
import { STATUS_TRAITS } from "../status.ts";
import type { Kit } from "./kit.ts";

const KIT_PIN: MemoryPin = { release: () => undefined };

export class TestRequest extends Request {
  /** Called in the turn, after the checks: for tests that go on at once. */
  onEnd: (() => void) | null = null;
  readonly #kit: Kit;
  #resolve: (() => void) | null = null;
  #isPending = false;
  #generationBefore = 0;

  constructor(kit: Kit) {
    super();
    this.#kit = kit;
  }

  get isPending(): boolean {
    return this.#isPending;
  }

  /** Submits it as it is. */
  submit(): void {
    this.#isPending = true;
    this.#generationBefore = this.generation;
    this.#kit.outstanding++;
    this.#kit.submitting++;
    this.#kit.device.submit(this);
    this.#kit.submitting--;
  }

  /** Submits it and waits for its end. */
  run(): Promise<this> {
    return new Promise((resolve) => {
      this.#resolve = () => resolve(this);
      this.submit();
    });
  }

  override get canPin(): boolean {
    return this.#kit.pinsMemory;
  }

  /** The kit's memory stays what it is until all requests have ended. */
  override pinMemory(): MemoryPin {
    return KIT_PIN;
  }

  override moveMemory(pool: BufferPool): MemoryPin | null {
    const fresh = pool.acquire(this.length);
    if (fresh === null) return null;
    this.#kit.keep(fresh);
    this.segments.clear();
    this.segments.push(fresh.slab.id, fresh.offset, this.length);
    return KIT_PIN;
  }

  override complete(): void {
    const kit = this.#kit;
    kit.check(kit.submitting === 0, "a request completed inside a submit");
    kit.check(this.#isPending, "a request completed that was not submitted, or twice");
    kit.check(this.device === null, "a completed request is still on its device");
    kit.check(this.generation === this.#generationBefore + 1, "the generation counts one use");
    kit.check(STATUS_TRAITS[this.status] !== undefined, `status ${this.status} is unknown`);
    this.#isPending = false;
    kit.outstanding--;
    const resolve = this.#resolve;
    this.#resolve = null;
    this.onEnd?.();
    if (resolve !== null) kit.reactor.deliverLater(resolve);
  }
}
