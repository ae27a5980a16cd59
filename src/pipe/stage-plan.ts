/**
 * What a parsed and checked stage is: ready to be opened, nothing opened yet.
 *
 * Plans are made without I/O, on any thread, from the text alone, so that every mistake in a text
 * is found before the first file is touched. Immutable.
 */

import type { Device } from "../block/device.ts";
import type { SocketAddress } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import type { UriStage } from "./ast.ts";
import { GrammarError } from "./grammar-error.ts";

/** What a stage gets when it is opened. */
export interface OpenContext {
  readonly reactor: Reactor;
  /** Who opens it, for the message that others get who want the same medium. */
  readonly holder: string;
  /** A UUID that no opening before had, for devices whose content is new each time. */
  readonly instanceSeed: string;
}

export interface SourcePlan {
  /** Opens and claims. Whoever opens it closes it. */
  open(context: OpenContext): Promise<Device>;
}

export interface FilterPlan {
  /** On top of `below`, which the filter does not close. */
  open(context: OpenContext, below: Device): Promise<Device>;
}

/** An NBD export. `address` may have port 0; several exports may be on one address. */
export interface SharePlan {
  readonly kind: "nbd";
  readonly address: SocketAddress;
  readonly exportName: string;
  readonly description: string;
  readonly readOnly: boolean;
  readonly maxConnections: number | undefined;
}

/** One option of a stage, for `--help`. */
export interface OptionHelp {
  readonly key: string;
  /** The form of its value: SIZE, BOOLEAN, ... */
  readonly value: string;
  readonly text: string;
}

/** @throws GrammarError `unexpected-host`: this scheme has a path only */
export function refuseHost(text: string, stage: UriStage): void {
  if (stage.host === "" && stage.port === undefined) return;
  throw new GrammarError({
    code: "unexpected-host",
    text,
    span: stage.authoritySpan,
    message:
      `found a host in ${stage.scheme}://, expected none: ` +
      `write ${stage.scheme}:///NAME with three slashes`,
  });
}
