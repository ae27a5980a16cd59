/**
 * gRPC health checking: an engine serves from its first answer until it is told to stop. Pipes that
 * have failed make nobody take an engine away from the others: `ListPipes` tells of them.
 *
 *   serving --stop()--> not serving, watchers told, their calls ended
 *
 * spec: gRPC doc/health-checking.md
 */

import type { DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../api/grpc/health/v1/health_pb.ts";

const WATCHERS_MAX = 64;
const WHOLE_SERVER = "";

interface Answer {
  readonly status: ServingStatus;
}

export class EngineHealth {
  /** Of those who watch. */
  readonly #wakes = new Set<() => void>();
  #isStopping = false;

  /** Adds the health of `services` and of the server. */
  addTo(router: ConnectRouter, services: readonly DescService[]): void {
    const known = new Set([WHOLE_SERVER, ...services.map(({ typeName }) => typeName)]);
    router.service(Health, {
      check: ({ service }) => {
        if (known.has(service)) return { status: this.#status };
        throw new ConnectError(`service: there is no "${service}" here`, Code.NotFound);
      },
      watch: ({ service }, context) => this.#watch(known.has(service), context),
    });
  }

  /** Idempotent. */
  stop(): void {
    this.#isStopping = true;
    for (const wake of this.#wakes) wake();
  }

  get #status(): ServingStatus {
    return this.#isStopping ? ServingStatus.NOT_SERVING : ServingStatus.SERVING;
  }

  async *#watch(isKnown: boolean, { signal }: HandlerContext): AsyncGenerator<Answer> {
    if (this.#wakes.size >= WATCHERS_MAX) {
      const message = `${WATCHERS_MAX} clients watch already, expected at most that many`;
      throw new ConnectError(message, Code.ResourceExhausted);
    }
    const woken = Promise.withResolvers<void>();
    const wake = (): void => woken.resolve();
    this.#wakes.add(wake);
    signal.addEventListener("abort", wake, { once: true });
    try {
      const isLast = this.#isStopping;
      yield { status: isKnown ? this.#status : ServingStatus.SERVICE_UNKNOWN };
      if (isLast || signal.aborted) return;
      await woken.promise;
      if (isKnown && !signal.aborted) yield { status: this.#status };
    } finally {
      signal.removeEventListener("abort", wake);
      this.#wakes.delete(wake);
    }
  }
}
